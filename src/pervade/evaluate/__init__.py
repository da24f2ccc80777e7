"""How well a checkpoint does: predictions, and figures from them."""
