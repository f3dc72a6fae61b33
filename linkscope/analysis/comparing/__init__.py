"""What `compare` says of one program from its file alone, in pieces."""
