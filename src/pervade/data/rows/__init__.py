"""Rows divided, cached and loaded as batches."""
