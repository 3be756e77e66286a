"""A year of calls on a simulated clock: what a volume costs under a key's limits."""
