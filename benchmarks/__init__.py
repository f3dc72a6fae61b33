"""How fast LinkScope is, beside other tools, on the machine at hand: `make bench`."""
