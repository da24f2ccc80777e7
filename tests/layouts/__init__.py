"""Layouts that people have their data in, each made small, with what is right to read of it (made.py)."""
