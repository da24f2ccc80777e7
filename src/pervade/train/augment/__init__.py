"""What is done to whole training batches: one method a file."""
