"""The reports are given documents and give characters: what they show, and that nothing else gets through."""
