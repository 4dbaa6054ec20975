"""What two sides must agree on: shapes, words, messages. NumPy and msgspec, nothing else."""
