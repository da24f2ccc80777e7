"""Optimisers (core/protocols.py: Optimizer)."""
