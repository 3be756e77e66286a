"""The governor of one key's quota: when may the next request leave?

TalkPilot allows a number of requests a minute, told by headers on every response, and a number an
hour, told only by a 429 whose ``Retry-After`` is long (docs.talkpilot.io, guides/rate-limiting).
The server's own count is the one truth that all processes on a key share, so the governor paces by
it and never by a schedule of its own.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from airflow_provider_talkpilot.api.errors import ConfigurationError, QuotaExhaustedError

log = logging.getLogger(__name__)

# `Retry-After: 0` and a missing header are seen in the wild; retrying at once burns the quota.
RETRY_AFTER_FLOOR = 1.0
RETRY_AFTER_CEILING = 3900.0
# Where others spend from the same quota, this many are left unspent at a minute's end and only
# this fraction of the rest may be in flight: all see the same count a moment too late.
SHARED_RESERVE = 2
SHARED_SPREAD = 10
# Believing a server whose clock is this close to ours beats correcting by a one-second header.
CLOCK_TOLERANCE = 2.0


class Clock:
    """Time as the governor sees it; replaced in simulations."""

    def now(self) -> float:
        """Unix time in seconds."""
        return time.time()

    def wait(self, condition: threading.Condition, seconds: float | None) -> None:
        """Wait on ``condition`` (held) for at most ``seconds``; None means until notified."""
        condition.wait(seconds)


@dataclass(frozen=True)
class RateHeaders:
    """The minute window as one response told it.

    :param limit: requests allowed in the window.
    :param remaining: requests left in it, after this one.
    :param reset: Unix time of the window's end, corrected by the server's ``Date``.
    :param window: the server's own figure for ``reset``, which names the window.
    """

    limit: int
    remaining: int
    reset: float
    window: float

    @classmethod
    def parse(cls, headers: Mapping[str, str], now: float) -> RateHeaders | None:
        """Read ``X-RateLimit-*``; None where one is missing or no number."""
        try:
            limit = int(headers["X-RateLimit-Limit"])
            remaining = int(headers["X-RateLimit-Remaining"])
            window = float(headers["X-RateLimit-Reset"])
        except (KeyError, ValueError):
            return None
        return cls(limit, max(0, remaining), window + _clock_skew(headers, now), window)


class Quota:
    """Decides when requests of one key may leave. Thread-safe; share one per key and process.

    :param requests_per_minute: own ceiling below the key's limit; None for the key's limit.
    :param requests_per_hour: own ceiling an hour; None to learn the key's from its 429.
    :param share: part of the key's minute limit to use, over 0 up to 1; the rest stays free for
        other software on the same key.
    :param max_wait: seconds that :meth:`acquire` may wait in all; None for as long as it takes.
    :param clock: source of time.
    """

    def __init__(
        self,
        *,
        requests_per_minute: int | None = None,
        requests_per_hour: int | None = None,
        share: float = 1.0,
        max_wait: float | None = None,
        clock: Clock | None = None,
    ) -> None:
        if not 0 < share <= 1:
            raise ConfigurationError(f"quota_share is {share}: give a number over 0 and up to 1.")
        for name, value in (
            ("requests_per_minute", requests_per_minute),
            ("requests_per_hour", requests_per_hour),
        ):
            if value is not None and value < 1:
                raise ConfigurationError(f"{name} is {value}: give at least 1, or leave it empty.")
        self.max_wait = max_wait
        self.refused = 0
        self._share = share
        self._clock = clock or Clock()
        self._changed = threading.Condition()
        self._budgets = [
            _Budget(limit, seconds)
            for limit, seconds in ((requests_per_minute, 60.0), (requests_per_hour, 3600.0))
            if limit is not None
        ]
        self._window: RateHeaders | None = None
        self._unmetered = False
        self._in_flight = 0
        self._own = 0  # requests of ours that the current window may have counted
        self._base: int | None = None  # what the window held before them, where we know it
        self._others = False
        self._blocked_until = 0.0
        self._refusals_in_a_row = 0
        self._reset_delay = 0.0
        self._closed = False

    def acquire(self) -> None:
        """Wait until a request may leave, and count it as in flight.

        :raises QuotaExhaustedError: when that is further away than ``max_wait``.
        """
        with self._changed:
            while (wait := self._wait_seconds()) != 0 or self._closed:
                if self._closed:
                    raise QuotaExhaustedError(
                        "The client was closed while a request waited for the key's quota.",
                        resume_at=datetime.fromtimestamp(self._clock.now(), UTC),
                    )
                if wait is not None and self.max_wait is not None and wait > self.max_wait:
                    resume_at = datetime.fromtimestamp(self._clock.now() + wait, UTC)
                    raise QuotaExhaustedError(
                        f"The key's quota is used up until {resume_at:%Y-%m-%d %H:%M:%S} UTC.",
                        resume_at=resume_at,
                    )
                if wait is not None and wait > 1:
                    log.info("Waiting %.0f s for the key's quota.", wait)
                self._clock.wait(self._changed, wait)
            self._in_flight += 1
            self._own += 1
            for budget in self._budgets:
                budget.spend(self._clock.now())

    def close(self) -> None:
        """Let nothing leave any more; whoever waits gets a :class:`QuotaExhaustedError` at once.

        For the end of a task: its threads must not sit out an hour's wait.
        """
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def answered(self, headers: Mapping[str, str]) -> None:
        """Note the answer to a request in flight, whatever its status but 429."""
        with self._changed:
            self._in_flight -= 1
            self._refusals_in_a_row = 0
            rate = RateHeaders.parse(headers, self._clock.now())
            self._unmetered = rate is None
            if rate:
                self._observe(rate)
            self._changed.notify_all()

    def unanswered(self) -> None:
        """Note that a request in flight got no answer; the server may have counted it."""
        with self._changed:
            self._in_flight -= 1
            self._changed.notify_all()

    def refuse(self, headers: Mapping[str, str]) -> float:
        """Note a 429 to a request in flight.

        :return: seconds for which nothing leaves now.
        """
        with self._changed:
            now = self._clock.now()
            self._in_flight -= 1
            self.refused += 1
            self._refusals_in_a_row += 1
            rate = RateHeaders.parse(headers, now)
            if rate:
                if self._window and rate.window <= self._window.window and now < rate.window + 1.5:
                    # The window's end is later than its header says (a rounded figure).
                    self._reset_delay = 1.0
                self._observe(rate)
            wait = _retry_after(headers, rate, now)
            # A server that keeps refusing after the time it named gets more room every time.
            backoff = RETRY_AFTER_FLOOR * 2 ** min(self._refusals_in_a_row - 1, 6)
            wait = float(min(max(wait, backoff), RETRY_AFTER_CEILING))
            # Many wait for the same moment; spread them a little.
            wait += random.uniform(0, 0.05 * min(wait, 10))  # noqa: S311
            self._blocked_until = max(self._blocked_until, now + wait)
            log.info("TalkPilot refused a request (429); nothing is sent for %.0f s.", wait)
            self._changed.notify_all()
            return wait

    def _wait_seconds(self) -> float | None:
        """Seconds until a request may leave; 0 for now, None for "when one has come back"."""
        now = self._clock.now()
        waits = [self._blocked_until - now, *(budget.wait(now) for budget in self._budgets)]
        if max(waits) > 0:
            return max(waits)
        if self._unmetered:
            return 0
        window = self._window
        if window is None or now >= window.reset + self._reset_delay:
            # Nothing is known of this minute: one request asks, the others wait for its answer.
            return 0 if self._in_flight == 0 else None
        usable = window.remaining - self._reserve(window)
        if usable - self._in_flight <= 0:
            return window.reset + self._reset_delay - now
        if self._others and self._in_flight >= max(1, usable // SHARED_SPREAD):
            return None
        return 0

    def _reserve(self, window: RateHeaders) -> int:
        reserve = window.limit - int(window.limit * self._share)
        return max(reserve, SHARED_RESERVE) if self._others and window.limit > 10 else reserve

    def _observe(self, rate: RateHeaders) -> None:
        current = self._window
        if current is None or rate.window > current.window:
            # All we have in flight may be counted in the new window, and the request just
            # answered is.
            self._own = self._in_flight + 1
            self._base = rate.limit if current else None
            self._others = self._others and current is not None
            self._window = rate
        elif rate.window == current.window and rate.remaining < current.remaining:
            self._window = rate
        if self._window is rate:
            if self._base is None:
                self._base = rate.remaining + 1
            self._others = self._others or self._base - rate.remaining > self._own


class _Budget:
    """A ceiling of our own: at most ``limit`` requests in ``seconds``, counted from the first."""

    def __init__(self, limit: int, seconds: float) -> None:
        self.limit, self.seconds = limit, seconds
        self._start = float("-inf")
        self._spent = 0

    def wait(self, now: float) -> float:
        over = now >= self._start + self.seconds
        return 0.0 if over or self._spent < self.limit else self._start + self.seconds - now

    def spend(self, now: float) -> None:
        if now >= self._start + self.seconds:
            self._start, self._spent = now, 0
        self._spent += 1


def _retry_after(headers: Mapping[str, str], rate: RateHeaders | None, now: float) -> float:
    """Seconds to wait after a 429: ``Retry-After``, else the minute's end, else the floor."""
    value = headers.get("Retry-After", "").strip()
    try:
        return float(value)
    except ValueError:
        pass
    try:
        return parsedate_to_datetime(value).timestamp() - now
    except ValueError:
        return rate.reset - now if rate else RETRY_AFTER_FLOOR


def _clock_skew(headers: Mapping[str, str], now: float) -> float:
    """Seconds by which our clock is ahead of the server's, 0 where that is next to nothing."""
    try:
        skew = now - parsedate_to_datetime(headers["Date"]).timestamp()
    except (KeyError, ValueError):
        return 0.0
    return skew if abs(skew) > CLOCK_TOLERANCE else 0.0
