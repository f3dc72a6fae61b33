"""What is inside a wheel, `.deb`, `.rpm`, `.apk`, tar or zip: the ELF members, in a private folder that none leaves."""
