"""What an example is, one kind a file (core/contracts/domain.py: Domain)."""
