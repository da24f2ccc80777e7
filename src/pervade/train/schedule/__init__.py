"""Schedules of the learning rate (core/protocols.py: Schedule)."""
