"""Weights from elsewhere: reading foreign files, published ones, and fitting their names to a network's."""
