"""Answers over HTTP, of models that were opened by somebody else (run/serving.py). Nothing here knows a run directory,
a domain or a task by name, and nothing imports torch."""
