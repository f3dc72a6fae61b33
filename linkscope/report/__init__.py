"""One file a format: each turns documents into characters, and knows nothing else."""
