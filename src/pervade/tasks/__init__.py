"""What is asked of a model, one question a file (core/contracts/task.py: Task)."""
