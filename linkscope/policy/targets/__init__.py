"""Systems on which a release is to run: what each offers, in a TOML file a distribution, and who starts there."""
