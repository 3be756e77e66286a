"""Made-up agents and calls, and all that changes them."""
