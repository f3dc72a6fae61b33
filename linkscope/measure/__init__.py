"""Running programs to measure them, for `compare`: the only room that starts a program."""
