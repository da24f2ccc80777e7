"""Architectures, one a file (core/protocols.py: Model). A file's variants are further names for it."""
