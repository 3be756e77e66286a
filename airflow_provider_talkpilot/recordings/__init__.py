"""Recordings: fetched with their calls' details, archived, and deleted with their calls."""
