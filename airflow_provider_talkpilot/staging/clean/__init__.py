"""Cleaning: what was loaded, purged or forgotten leaves staging."""
