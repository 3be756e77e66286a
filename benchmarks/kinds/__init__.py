"""One module for each kind of case."""
