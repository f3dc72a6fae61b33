"""One file a command: options in, exit code out. No decision about ELF is taken here."""
