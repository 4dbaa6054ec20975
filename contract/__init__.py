"""What two sides must agree on: shapes, words, messages, numbers. NumPy and msgspec, nothing else."""
