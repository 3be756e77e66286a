"""Rate limits per key: windows of a minute and of an hour, sliding or fixed."""

from __future__ import annotations

import math
import threading
import time
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable
from dataclasses import dataclass, field

from airflow_provider_talkpilot.sandbox.settings import SandboxSettings

UNLIMITED = 1_000_000
"""The limit in the headers of a key without a limit."""

_PRUNED_AT_ONCE = 1000


@dataclass(frozen=True)
class Verdict:
    """The limiter's decision on one request.

    :param retry_after: seconds to wait if the request is refused, else None.
    :param headers: the ``X-RateLimit-*`` headers.
    """

    retry_after: int | None
    headers: dict[str, str] = field(default_factory=dict)


class RateLimiter:
    """Counts requests per key.

    :param settings: the limits, read at every request.
    :param clock: returns Unix seconds.
    """

    def __init__(self, settings: SandboxSettings, clock: Callable[[], float] = time.time) -> None:
        self._settings = settings
        self._clock = clock
        self._lock = threading.Lock()
        # The time of each counted request, by key, oldest first.
        self._counted: dict[str, array[float]] = {}

    def reset(self) -> None:
        """Forget all requests."""
        with self._lock:
            self._counted.clear()

    def spend(self, key: str, requests: int) -> None:
        """Use up quota of a key, as if other software had sent this many requests now."""
        with self._lock:
            counted, now = self._current(key)
            counted.extend([now] * requests)

    def check(self, key: str) -> Verdict:
        """Count one request of a key, or refuse it."""
        settings = self._settings
        minute, hour = settings.minute_seconds, settings.hour_seconds
        per_minute, per_hour = (
            UNLIMITED if limit is None else limit
            for limit in (settings.requests_per_minute, settings.requests_per_hour)
        )
        is_sliding = settings.switches.windows == "sliding"
        count = _count_sliding if is_sliding else _count_fixed
        left = _whole if is_sliding else _left_of_fixed
        with self._lock:
            counted, now = self._current(key)
            in_minute = count(counted, now, minute)
            waits = []
            if in_minute >= per_minute:
                waits.append(left(now, minute))
            if count(counted, now, hour) >= per_hour:
                waits.append(left(now, hour))
            if not waits or settings.refused_requests_count:
                counted.append(now)
                in_minute += 1
        headers = {
            "X-RateLimit-Limit": str(per_minute),
            "X-RateLimit-Remaining": str(max(0, per_minute - in_minute)),
            "X-RateLimit-Reset": str(math.ceil(now + left(now, minute))),
        }
        retry_after = max(1, math.ceil(max(waits))) if waits else None
        return Verdict(retry_after, headers if settings.rate_headers else {})

    def _current(self, key: str) -> tuple[array[float], float]:
        """Return the times of a key's requests, and now, which is never before the newest."""
        now = self._clock()
        counted = self._counted.setdefault(key, array("d"))
        if counted:
            now = max(now, counted[-1])
        longest = max(self._settings.minute_seconds, self._settings.hour_seconds)
        expired = bisect_right(counted, now - longest)
        if expired >= _PRUNED_AT_ONCE:
            del counted[:expired]
        return counted, now


def _count_sliding(counted: array[float], now: float, seconds: float) -> int:
    """Count the requests of the last ``seconds``."""
    return len(counted) - bisect_right(counted, now - seconds)


def _count_fixed(counted: array[float], now: float, seconds: float) -> int:
    """Count the requests of the current window; windows are aligned to their length."""
    return len(counted) - bisect_left(counted, now // seconds * seconds)


def _whole(now: float, seconds: float) -> float:
    """Return the length of a sliding window: TalkPilot's headers name it whatever is left."""
    return seconds


def _left_of_fixed(now: float, seconds: float) -> float:
    """Return the seconds until the current window ends."""
    return (now // seconds + 1) * seconds - now
