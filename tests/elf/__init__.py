"""One file at a time: what LinkScope reads out of it, beside readelf, file, pyelftools, lief and checksec."""
