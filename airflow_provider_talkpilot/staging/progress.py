"""How a task's log shows long work: how much is done, how fast, and how long the rest takes."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager

from airflow_provider_talkpilot.api.quota.limits import DEFAULT_LIMIT

log = logging.getLogger(__name__)

EVERY_SECONDS = 30.0
# TalkPilot's default limits: docs.talkpilot.io, guides/rate-limiting.
PER_MINUTE, PER_HOUR = 60, DEFAULT_LIMIT


@contextmanager
def log_group(title: str) -> Iterator[None]:
    """Log the messages of the block as a group, which Airflow's UI folds."""
    log.info("::group::%s", title)
    try:
        yield
    finally:
        log.info("::endgroup::")


class Progress:
    """Logs every half minute how many of the details are fetched."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._done = 0
        self._started = self._logged_at = time.monotonic()

    def step(self) -> None:
        """Count one more detail, and log the progress if it is time."""
        self._done += 1
        now = time.monotonic()
        if now - self._logged_at >= EVERY_SECONDS:
            self._logged_at = now
            rate = self._done / (now - self._started)
            log.info(
                "%s of %s details (%.0f %%), %.0f a minute, about %s left.",
                f"{self._done:,}",
                f"{self._total:,}",
                100 * self._done / self._total,
                rate * 60,
                duration((self._total - self._done) / rate),
            )


def seconds_for(requests: int, per_minute: int, per_hour: int) -> float:
    """Estimate how many seconds requests take if no other task spends the quota."""
    per_hour = min(per_hour, 60 * per_minute)
    hours, rest = divmod(max(0, requests - 1), per_hour)
    return hours * 3600 + (rest + 1) / per_minute * 60


def duration(seconds: float) -> str:
    """Format a duration for people, such as ``1 h 05 min``."""
    minutes = round(seconds / 60)
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{minutes // 60} h {minutes % 60:02d} min" if minutes >= 60 else f"{minutes} min"
