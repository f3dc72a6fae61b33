"""The program as it is typed: what it prints where, and its exit codes."""
