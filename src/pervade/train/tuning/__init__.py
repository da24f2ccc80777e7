"""Which weights learn, how fast and from when: one method a file."""
