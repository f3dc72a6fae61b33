"""What is inside one file: libraries that were linked into it, modules, the package that it came in."""
