"""Where a model's first weights come from, one way a file (core/contracts/training.py: Initializer)."""
