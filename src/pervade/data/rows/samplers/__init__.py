"""Which rows make a batch, one way a file (core/contracts/source.py: Sampling)."""
