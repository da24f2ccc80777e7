"""Optimisers (core/contracts/training.py: Optimizer)."""
