"""What the task's log says of long work: how much, how far, how fast, how long still."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager

log = logging.getLogger(__name__)

EVERY_SECONDS = 30.0
# TalkPilot's limits unless raised for a key: docs.talkpilot.io, guides/rate-limiting.
PER_MINUTE, PER_HOUR = 60, 1000


@contextmanager
def log_group(title: str) -> Iterator[None]:
    """Put what is logged inside the block into a group, which Airflow's UI folds."""
    log.info("::group::%s", title)
    try:
        yield
    finally:
        log.info("::endgroup::")


class Progress:
    """Logs at a steady rate how many of the details are fetched."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._done = 0
        self._started = self._said = time.monotonic()

    def step(self) -> None:
        """Note one more, and say so when it is time."""
        self._done += 1
        now = time.monotonic()
        if now - self._said >= EVERY_SECONDS:
            self._said = now
            rate = self._done / (now - self._started)
            log.info(
                "%s of %s details (%.0f %%), %.0f a minute, about %s left.",
                f"{self._done:,}",
                f"{self._total:,}",
                100 * self._done / self._total,
                rate * 60,
                duration((self._total - self._done) / rate),
            )


def seconds_for(requests: int, per_minute: int = PER_MINUTE, per_hour: int = PER_HOUR) -> float:
    """Estimate how many seconds requests take where no other task spends the quota."""
    hours, rest = divmod(max(0, requests - 1), per_hour)
    return hours * 3600 + (rest + 1) / per_minute * 60


def duration(seconds: float) -> str:
    """Write a duration as a person would, such as ``1 h 05 min``."""
    minutes = round(seconds / 60)
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{minutes // 60} h {minutes % 60:02d} min" if minutes >= 60 else f"{minutes} min"
