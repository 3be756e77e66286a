"""The quota of one key, shared by the threads of a process: who may send now, and who waits."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from datetime import UTC, datetime

from airflow_provider_talkpilot.api.errors import (
    ClosedError,
    ConfigurationError,
    QuotaExhaustedError,
)
from airflow_provider_talkpilot.api.governor import PATIENCE, Budget, Governor, Permit

log = logging.getLogger(__name__)

# A minute's wait is nothing to report every minute; a long one is, once.
SILENT_SECONDS = 600.0
SHORT_WAIT, LONG_WAIT = 5.0, 120.0


class Clock:
    """Time as the quota sees it; replaced in simulations."""

    def now(self) -> float:
        """Unix time in seconds."""
        return time.time()

    def wait(self, condition: threading.Condition, seconds: float) -> None:
        """Wait on ``condition`` (held) for at most ``seconds``."""
        condition.wait(seconds)


class Quota:
    """Decides when requests of one key may leave. Thread-safe; share one per key and process.

    :param requests_per_minute: ceiling of this process below the key's limit; None for the key's.
    :param requests_per_hour: ceiling of this process an hour; None to learn the key's from its 429.
    :param share: part of the key's minute limit to use, over 0 up to 1: nothing is sent while less
        than the rest is left of a minute, so that other software on the same key finds it.
    :param max_wait: seconds that :meth:`acquire` may wait in all; None for as long as it takes.
    :param clock: source of time.
    :raises ConfigurationError: when a limit is under 1 or the share is out of range.
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
        self._own_minute, self._own_hour = requests_per_minute, requests_per_hour
        self.closed = threading.Event()
        self._clock = clock or Clock()
        self._changed = threading.Condition()
        self._governor = Governor(
            share=share,
            budgets=[
                Budget(limit, seconds)
                for limit, seconds in ((requests_per_minute, 60.0), (requests_per_hour, 3600.0))
                if limit is not None
            ],
        )
        self._silent_until = 0.0
        self._told_until = 0.0

    @property
    def refused(self) -> int:
        """How many requests were answered 429."""
        return self._governor.refused

    @property
    def per_minute(self) -> int | None:
        """Requests a minute that may be used here, as far as it is known."""
        limits = [limit for limit in (self._own_minute, self._governor.usable_limit) if limit]
        return min(limits, default=None)

    @property
    def per_hour(self) -> int | None:
        """Our own ceiling an hour; the key's is not told before it is reached."""
        return self._own_hour

    def acquire(self) -> Permit:
        """Wait until a request may leave, and count it as in flight.

        :return: to be given back with the answer.
        :raises QuotaExhaustedError: when that is further away than ``max_wait``.
        :raises ClosedError: when :meth:`close` was called.
        """
        with self._changed:
            began = self._clock.now()
            while True:
                if self.closed.is_set():
                    raise ClosedError("No more requests are sent: the work was stopped.")
                now = self._clock.now()
                wait = self._governor.wait(now)
                if wait == 0:
                    return self._governor.send(now)
                if wait is None:
                    wait = PATIENCE
                else:
                    self._check_patience(now, now - began, wait)
                    self._tell(now, wait)
                self._clock.wait(self._changed, wait)

    def acquire_now(self) -> Permit | None:
        """As :meth:`acquire` where a request may leave at once; None where it may not."""
        with self._changed:
            now = self._clock.now()
            if self.closed.is_set() or self._governor.wait(now) != 0:
                return None
            return self._governor.send(now)

    def permit(self) -> Permit | float:
        """As :meth:`acquire` for event loops, which must not wait here.

        :return: the permit, or the seconds after which to ask again.
        """
        with self._changed:
            now = self._clock.now()
            wait = self._governor.wait(now)
            if wait == 0:
                return self._governor.send(now)
            if wait is None:
                return PATIENCE
            self._tell(now, wait)
            return wait

    def answered(self, permit: Permit, headers: Mapping[str, str]) -> None:
        """Note the answer to a request in flight, whatever its status but 429."""
        with self._changed:
            self._governor.answered(permit, headers, self._clock.now())
            self._changed.notify_all()

    def unanswered(self, permit: Permit) -> None:
        """Note that a request in flight got no answer; the server may have counted it."""
        with self._changed:
            self._governor.unanswered(permit)
            self._changed.notify_all()

    def refuse(self, permit: Permit, headers: Mapping[str, str]) -> float:
        """Note a 429 to a request in flight.

        :return: seconds for which nothing leaves now.
        """
        with self._changed:
            wait = self._governor.refuse(permit, headers, self._clock.now())
            self._changed.notify_all()
            return wait

    def close(self) -> None:
        """Send nothing any more: who waits, or asks later, gets :class:`ClosedError`."""
        self.closed.set()
        with self._changed:
            self._changed.notify_all()

    def _check_patience(self, now: float, waited: float, wait: float) -> None:
        if self.max_wait is not None and waited + wait > self.max_wait:
            resume_at = datetime.fromtimestamp(now + wait, UTC)
            raise QuotaExhaustedError(
                f"The key's quota is used up until {resume_at:%Y-%m-%d %H:%M:%S} UTC, for longer "
                f"than the {self.max_wait:.0f} s that may be waited here.",
                resume_at=resume_at,
            )

    def _tell(self, now: float, wait: float) -> None:
        """Log the wait: a long one once, short ones rarely, for all threads together."""
        until = now + wait
        is_long = wait > LONG_WAIT and until > self._told_until + SHORT_WAIT
        if is_long or (wait > SHORT_WAIT and now >= self._silent_until):
            self._told_until = until
            self._silent_until = now + SILENT_SECONDS
            log.info(
                "The key's quota is used up: waiting for it until %s UTC.",
                datetime.fromtimestamp(until, UTC).strftime("%H:%M:%S"),
            )
