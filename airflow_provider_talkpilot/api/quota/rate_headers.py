"""What a response says about the key's quota: ``X-RateLimit-*``, ``Retry-After`` and ``Date``."""

from __future__ import annotations

import math
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import NamedTuple

# Believing a server whose clock is this close to ours beats correcting by a one-second header.
CLOCK_TOLERANCE = 2.0
# A window's end further away than this is no minute's.
LONGEST_WINDOW = 3900.0


class RateHeaders(NamedTuple):
    """The key's minute as one response told it: what is allowed, and left after this request."""

    limit: int
    remaining: int
    # Unix time by our clock: when a fixed window ends; with sliding ones, always a minute from now.
    reset: float

    @classmethod
    def parse(cls, headers: Mapping[str, str], now: float) -> RateHeaders | None:
        """Read ``X-RateLimit-*``; None where one is missing or can be no such figure."""
        try:
            limit = int(headers["X-RateLimit-Limit"])
            remaining = int(headers["X-RateLimit-Remaining"])
            reset = float(headers["X-RateLimit-Reset"]) + _clock_skew(headers, now)
        except (KeyError, ValueError):
            return None
        if not abs(reset - now) <= LONGEST_WINDOW or limit < 1:  # also where it is no number
            return None
        return cls(limit, max(0, remaining), reset)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Read the seconds that ``Retry-After`` says to wait; None where it says no such number."""
    try:
        seconds = float(headers["Retry-After"])
    except (KeyError, ValueError):
        return None
    return seconds if 0 < seconds < math.inf else None


def _clock_skew(headers: Mapping[str, str], now: float) -> float:
    """Return the seconds by which our clock is later than the server's; 0 for next to nothing."""
    try:
        skew = now - parsedate_to_datetime(headers["Date"]).timestamp()
    except (KeyError, ValueError, TypeError, OverflowError):
        return 0.0
    return skew if abs(skew) > CLOCK_TOLERANCE else 0.0
