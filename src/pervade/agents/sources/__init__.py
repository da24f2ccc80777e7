"""Batches of what an agent did, one kind a file (core/contracts/source.py: SourceSpec)."""
