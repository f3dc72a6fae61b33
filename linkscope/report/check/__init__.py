"""What `check` found, one file a format, named after the format. `formats` finds them; nothing has to be listed."""
