"""LinkScope: how Linux programs are linked, and what the dynamic loader would do with them."""

__version__ = "0.1.0"
