"""Texts, tokens and conversations."""
