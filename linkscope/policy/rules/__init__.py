"""The rules, one file each. `catalogue` finds them; nothing has to be listed."""
