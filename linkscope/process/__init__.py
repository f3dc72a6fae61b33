"""Running processes, from /proc, which is only read: what is mapped, and what the loader would map."""
