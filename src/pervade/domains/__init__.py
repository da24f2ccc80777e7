"""What an example is, one kind a file (core/protocols.py: Domain)."""
