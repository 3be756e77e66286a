"""Rows of parts: their columns, what a user keeps of them, and how records become rows."""
