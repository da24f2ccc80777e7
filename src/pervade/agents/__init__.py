"""Acting: environments, what they show and take, memory, episodes and films of them."""
