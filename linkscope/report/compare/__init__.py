"""What `compare` found: text and Markdown for people, and a plot. JSON is the document itself."""
