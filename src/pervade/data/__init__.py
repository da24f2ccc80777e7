"""Readers, splits, caches and loaders: from a path to batches."""
