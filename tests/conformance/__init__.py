"""Whether LinkScope answers as the real loaders do, and how other tools do beside it: `make conformance`."""
