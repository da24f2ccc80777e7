"""Forms in which others read a model, one a file."""
