"""The only training loop, the only inference loop, and how what they know is saved."""
