"""Many files, seen as a dynamic loader would: what it would search, open, refuse and map."""
