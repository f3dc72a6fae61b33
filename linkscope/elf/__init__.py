"""One ELF file: what its bytes say, read the way the kernel and the dynamic loader read it."""
