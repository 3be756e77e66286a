"""Waits for another thread or process."""

from __future__ import annotations

import time
from collections.abc import Callable


def wait_until(look: Callable[[], object], seconds: float = 60) -> None:
    """Wait until ``look`` returns something true, and fail after some seconds."""
    deadline = time.monotonic() + seconds
    while not look():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)
