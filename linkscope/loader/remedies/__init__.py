"""What would mend a missing library, in plain words; each sentence is tried out before it is said."""
