"""How the pack of signatures that LinkScope brings along is made: see README.md."""
