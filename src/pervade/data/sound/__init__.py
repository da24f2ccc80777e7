"""Recordings, what is said in them, and samples."""
