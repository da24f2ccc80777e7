"""Where batches come from, one kind a file (core/protocols.py: SourceSpec)."""
