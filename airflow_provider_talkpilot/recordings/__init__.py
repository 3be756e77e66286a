"""Recordings: fetched when their address is met, archived, and forgotten with their calls."""
