"""One file a question: where elf, loader and the other rooms are put together into a document."""
