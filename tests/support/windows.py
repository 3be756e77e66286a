"""Rate windows that outlive a test, at whatever time of day it runs."""

from __future__ import annotations

import time


def long_window() -> float:
    """Return the seconds of a window of the sandbox that has 10 to 55 minutes to go."""
    now = time.time()
    return next(float(s) for s in range(2000, 3600) if 0.1 * s < now % s < 0.7 * s)
