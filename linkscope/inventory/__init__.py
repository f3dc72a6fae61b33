"""Many files: how the work on them is spread. What is done with each is a function that this room is given."""
