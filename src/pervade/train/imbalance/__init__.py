"""What is done about rare classes, one way a file (core/contracts/promises.py: Imbalance)."""
