"""Cases for benchmarks/fuzz.py: bad inputs, odd settings, damaged runs and hostile files, each made from a seed."""
