"""The documents, and what their words are made of."""
