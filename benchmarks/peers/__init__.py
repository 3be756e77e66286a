"""Other tools, each set up as its documentation says, pinned, in its own environment."""
