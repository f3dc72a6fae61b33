"""What is inside files: judged by those who linked them, by the programs themselves, and by `go version -m`."""
