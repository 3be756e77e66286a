"""The warehouse: schema, load and MERGE."""
