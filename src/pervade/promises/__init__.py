"""What is promised of answers, one promise a file (core/contracts/promises.py)."""
