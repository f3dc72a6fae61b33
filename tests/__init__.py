"""LinkScope's tests: the same rooms as the program, and `oracle`, which asks the real loader."""
