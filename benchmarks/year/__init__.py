"""A year of calls on a clock that nobody waits for: what a volume costs under a key's limits."""
