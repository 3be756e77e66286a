"""Simulates a year of calls, and counts what a volume costs within a key's limits."""
