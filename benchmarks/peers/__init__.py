"""Other tools, each by its own documented best practice, pinned, in an environment of its own."""
