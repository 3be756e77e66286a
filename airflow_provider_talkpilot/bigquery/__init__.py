"""The warehouse: schema, load and merge."""
