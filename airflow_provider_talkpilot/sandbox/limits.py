"""Rate limits per key: fixed windows of a minute and an hour, aligned to their length."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from airflow_provider_talkpilot.sandbox.settings import SandboxSettings

UNLIMITED = 1_000_000
"""What the headers tell where there is no limit."""


@dataclass
class _Spent:
    """Requests of one key in the current minute and hour window."""

    minute: int = -1
    in_minute: int = 0
    hour: int = -1
    in_hour: int = 0


@dataclass(frozen=True)
class Verdict:
    """What the limiter says to one request.

    :param retry_after: seconds to wait when the request is refused, else None.
    :param headers: the ``X-RateLimit-*`` headers.
    """

    retry_after: int | None
    headers: dict[str, str] = field(default_factory=dict)


class RateLimiter:
    """Counts requests per key.

    :param settings: read at every request.
    :param clock: gives Unix seconds.
    """

    def __init__(self, settings: SandboxSettings, clock: Callable[[], float] = time.time) -> None:
        self._settings = settings
        self._clock = clock
        self._lock = threading.Lock()
        self._spent: dict[str, _Spent] = {}

    def reset(self) -> None:
        """Forget all requests."""
        with self._lock:
            self._spent.clear()

    def spend(self, key: str, requests: int) -> None:
        """Use up quota of a key as if other software had sent this many requests."""
        with self._lock:
            spent, _ = self._current(key)
            spent.in_minute += requests
            spent.in_hour += requests

    def check(self, key: str) -> Verdict:
        """Count one request of a key, or refuse it."""
        settings = self._settings
        with self._lock:
            spent, now = self._current(key)
            per_minute = _limit(settings.requests_per_minute)
            per_hour = _limit(settings.requests_per_hour)
            minute_end = (spent.minute + 1) * settings.minute_seconds
            hour_end = (spent.hour + 1) * settings.hour_seconds
            end = max(
                hour_end if spent.in_hour >= per_hour else 0.0,
                minute_end if spent.in_minute >= per_minute else 0.0,
            )
            refused = end > 0
            if not refused or settings.refused_requests_count:
                spent.in_minute += 1
                spent.in_hour += 1
            headers = {
                "X-RateLimit-Limit": str(per_minute),
                "X-RateLimit-Remaining": str(max(0, per_minute - spent.in_minute)),
                "X-RateLimit-Reset": str(math.ceil(minute_end)),
            }
        retry_after = max(1, math.ceil(end - now)) if refused else None
        return Verdict(retry_after, headers if settings.rate_headers else {})

    def _current(self, key: str) -> tuple[_Spent, float]:
        now = self._clock()
        spent = self._spent.setdefault(key, _Spent())
        minute = int(now // self._settings.minute_seconds)
        hour = int(now // self._settings.hour_seconds)
        if minute != spent.minute:
            spent.minute, spent.in_minute = minute, 0
        if hour != spent.hour:
            spent.hour, spent.in_hour = hour, 0
        return spent, now


def _limit(limit: int | None) -> int:
    return UNLIMITED if limit is None else limit
