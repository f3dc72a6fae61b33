"""The documents that LinkScope prints, as types. Nothing here does any input or output."""
