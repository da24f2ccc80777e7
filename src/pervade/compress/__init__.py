"""Ways to make a trained network smaller and faster, a method a file."""
