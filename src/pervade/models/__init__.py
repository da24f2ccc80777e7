"""Architectures, one a file (core/contracts/training.py: Model). A file's variants are further names for it."""
