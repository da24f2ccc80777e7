"""What is asked of a model, one question a file (core/protocols.py: Task)."""
