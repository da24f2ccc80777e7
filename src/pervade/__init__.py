"""Pervade: take a large model into your own field."""
