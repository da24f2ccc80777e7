"""Where batches come from, one kind a file (core/contracts/source.py: SourceSpec)."""
