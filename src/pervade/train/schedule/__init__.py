"""Schedules of the learning rate (core/contracts/training.py: Schedule)."""
