"""The quota as a client uses it: permits for requests, shared by the threads of a process."""

from __future__ import annotations

import logging
import math
import random
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from uuid import uuid4

from airflow_provider_talkpilot.api.checks import check_value
from airflow_provider_talkpilot.api.errors import ClosedError, QuotaExhaustedError
from airflow_provider_talkpilot.api.quota.limits import LIVE_SLOTS, Hour, Minute
from airflow_provider_talkpilot.api.quota.traffic import (
    HOUR_SLOTS,
    PATIENCE,
    Ledger,
    LedgerEntry,
    Permit,
    RateHeaders,
    Traffic,
    retry_after,
)

log = logging.getLogger(__name__)

# A wait is logged if it is longer, and ends more than SILENT_SECONDS after the last logged one.
SHORT_WAIT, SILENT_SECONDS = 5.0, 600.0
SYNC_SECONDS = 10.0
# Servers send `Retry-After: 0`, or none; to retry at once would waste requests.
RETRY_AFTER_FLOOR = 1.0
RETRY_AFTER_CEILING = 3900.0
MOST_DOUBLINGS = 6
# Processes that were refused together send again spread over this many seconds.
JITTER = 0.5


class Clock:
    """Time and random numbers, which simulations replace."""

    def now(self) -> float:
        """Return the Unix time in seconds."""
        return time.time()

    def wait(self, condition: threading.Condition, seconds: float) -> None:
        """Wait on ``condition`` (held) for at most ``seconds``."""
        condition.wait(seconds)

    def random(self) -> float:
        """Return a number from 0 up to 1."""
        return random.random()  # noqa: S311


class Quota:
    """Decides when requests of one key may leave. Thread-safe; share one per key and process.

    It counts the requests of this process, and those that other processes wrote to the ledger.

    :param requests_per_minute: a ceiling below the key's limit; None for the key's limit.
    :param requests_per_hour: likewise; with None, the first refusal shows the limit.
    :param share: the part of the key's minute to use, over 0 up to 1. The rest is left to other
        software on the key.
    :param max_wait: seconds that :meth:`acquire` may wait in all; None for as long as it takes.
    :param ledger: where the processes of a connection write what they spent. Without it, the quota
        knows only what this process sent.
    :param minute: seconds of the server's minute; a sandbox may have a shorter one.
    :param hour: likewise.
    :param clock: source of time and random numbers.
    :ivar per_hour: the ceiling of the hour, ``requests_per_hour``.
    :ivar closed: set by :meth:`close`.
    :raises ConfigurationError: when a limit is under 1 or the share is out of range.
    """

    def __init__(
        self,
        *,
        requests_per_minute: int | None = None,
        requests_per_hour: int | None = None,
        share: float = 1.0,
        max_wait: float | None = None,
        ledger: Ledger | None = None,
        minute: float = 60.0,
        hour: float = 3600.0,
        clock: Clock | None = None,
    ) -> None:
        check_value("requests_per_minute", requests_per_minute, int | None, ge=1)
        check_value("requests_per_hour", requests_per_hour, int | None, ge=1)
        check_value("quota_share", share, float, gt=0, le=1)
        self.max_wait = max_wait
        self.per_hour = requests_per_hour
        self.closed = threading.Event()
        self._clock = clock or Clock()
        self._ledger = ledger
        self._syncing = threading.Lock()
        self._writer = uuid4().hex
        self._changed = threading.Condition()  # guards all that follows
        self._traffic = Traffic()
        self._minute = Minute(minute, requests_per_minute, share, self._traffic)
        self._hour = Hour(hour, requests_per_hour, self._traffic)
        self._blocked_until = -math.inf
        self._refused_in_a_row = 0
        self._has_waited = False  # a request waited for the quota since the last entry
        self._slot_seconds = hour / HOUR_SLOTS
        self._sync_at = 0.0
        self._silent_until = 0.0

    @property
    def per_minute(self) -> int | None:
        """Requests a minute that may be used; None before the server told the key's limit."""
        return self._minute.limit

    def acquire(self) -> Permit:
        """Wait until a request may leave, and count it as in flight.

        :return: the permit; give it back with one of the ``record_`` methods.
        :raises QuotaExhaustedError: when the wait would be longer than ``max_wait``.
        :raises ClosedError: when :meth:`close` was called.
        """
        started = self._clock.now()
        while True:
            self.sync_ledger()
            with self._changed:
                now = self._clock.now()
                wait = self._permit_or_wait(now)
                if isinstance(wait, Permit):
                    return wait
                if wait is None:
                    wait = PATIENCE
                elif self.max_wait is not None and now + wait > started + self.max_wait:
                    resume_at = datetime.fromtimestamp(now + wait, UTC)
                    raise QuotaExhaustedError(
                        f"The key's quota is used up until {resume_at:%Y-%m-%d %H:%M:%S} UTC, for "
                        f"longer than the {self.max_wait:.0f} s that may be waited here.",
                        resume_at=resume_at,
                    )
                # What other processes spend can change the wait.
                self._clock.wait(self._changed, min(wait, self._sync_seconds))

    def try_acquire(self) -> Permit | float:
        """As :meth:`acquire`, without waiting; an event loop may call it if there is no ledger.

        :return: the permit, or the seconds after which to try again.
        :raises ClosedError: when :meth:`close` was called.
        """
        self.sync_ledger()
        with self._changed:
            wait = self._permit_or_wait(self._clock.now())
            return PATIENCE if wait is None else wait

    def record_response(self, permit: Permit, headers: Mapping[str, str]) -> None:
        """Note the response to a request in flight, with any status but 429."""
        with self._changed:
            now = self._clock.now()
            self._traffic.finish(permit)
            self._traffic.record_round_trip(now - permit.sent_at)
            self._refused_in_a_row = 0
            self._minute.window.add(now)
            self._minute.observe(permit, RateHeaders.parse(headers, now), now)
            self._hour.record_response(permit, now)
            self._changed.notify_all()

    def record_failure(self, permit: Permit) -> None:
        """Note that a request in flight got no response; the server may have counted it."""
        with self._changed:
            now = self._clock.now()
            self._traffic.finish(permit)
            self._minute.window.add(now)
            self._hour.window.add(now)
            self._changed.notify_all()

    def record_refusal(self, permit: Permit, headers: Mapping[str, str]) -> None:
        """Note that a request in flight was refused (429): nothing leaves for a while."""
        with self._changed:
            now = self._clock.now()
            self._traffic.finish(permit)
            self._refused_in_a_row += 1
            # Each refusal in a row doubles the shortest wait.
            backoff = RETRY_AFTER_FLOOR * 2.0 ** min(self._refused_in_a_row - 1, MOST_DOUBLINGS)
            wait = max(self._refusals_wait(permit, headers, now), backoff)
            wait = min(wait, RETRY_AFTER_CEILING) + JITTER * self._clock.random()
            self._blocked_until = max(self._blocked_until, now + wait)
            self._changed.notify_all()

    def close(self) -> None:
        """Stop all requests: each wait, now or later, ends with :class:`ClosedError`."""
        self.closed.set()
        with self._changed:
            self._changed.notify_all()

    def sync_ledger(self, *, is_last: bool = False) -> None:
        """Write to the ledger what was spent here, and read what others spent, every ten seconds.

        :param is_last: this process sends nothing more; write at once.
        """
        if self._ledger is None:
            return
        with self._syncing:
            with self._changed:
                now = self._clock.now()
                if now < self._sync_at and not is_last:
                    return
                self._sync_at = now + self._sync_seconds
                entry = self._entry(now, is_last=is_last)
            # Without the lock: other threads record responses while the storage is slow.
            others = self._ledger.sync(entry)
            with self._changed:
                self._learn(others, self._clock.now())

    @property
    def _sync_seconds(self) -> float:
        return min(SYNC_SECONDS, self._slot_seconds)

    def _permit_or_wait(self, now: float) -> Permit | float | None:
        """Return a permit, or the seconds to wait; None to wait for a response."""
        if self.closed.is_set():
            raise ClosedError("No more requests are sent: the work was stopped.")
        waits = [self._blocked_until - now, self._hour.wait(now), self._minute.wait(now)]
        wait = max(0.0, *(wait or 0.0 for wait in waits))
        if wait == 0 and None not in waits:
            return self._traffic.start(now)
        self._has_waited = True
        if wait > SHORT_WAIT and now + wait > self._silent_until:
            self._silent_until = now + wait + SILENT_SECONDS
            log.info(
                "The key's quota is used up: waiting for it until %s UTC.",
                datetime.fromtimestamp(now + wait, UTC).strftime("%H:%M:%S"),
            )
        return wait or None

    def _refusals_wait(self, permit: Permit, headers: Mapping[str, str], now: float) -> float:
        """Let the limit that refused note it; return the seconds to wait."""
        rate, seconds = RateHeaders.parse(headers, now), retry_after(headers, now)
        if rate:
            self._minute.observe(permit, rate, now)
        # If the API sends rate headers, a refusal without them is a gateway's, and says nothing
        # about the quota.
        is_gateways = rate is None and self._minute.has_headers
        is_minute_free = rate is not None and rate.remaining > 0
        is_long = seconds is not None and seconds > 1.05 * self._minute.seconds
        if seconds and not is_gateways and (is_long or is_minute_free):
            return self._hour.record_refusal(seconds, now)
        self._hour.window.add(now)
        if is_gateways:
            return seconds or 0.0
        return self._minute.record_refusal(seconds, now)

    def _entry(self, now: float, *, is_last: bool) -> LedgerEntry:
        """Return this process's entry in the ledger."""
        slots = Counter(
            math.floor(response / self._slot_seconds)
            for response in self._hour.window.responses(now)
        )
        slots[math.floor(now / self._slot_seconds)] += self._traffic.in_flight
        has_waited, self._has_waited = self._has_waited, False
        refused_at, resume_at = self._hour.last_refusal(now)
        return LedgerEntry(
            writer=self._writer,
            written_at=now,
            slot_seconds=self._slot_seconds,
            slots=+slots,
            is_waiting=has_waited and not is_last,
            is_last=is_last,
            minute_limit=self._minute.key_limit,
            hour_limit=self._hour.limit,
            refused_at=refused_at,
            resume_at=resume_at,
        )

    def _learn(self, others: Sequence[LedgerEntry], now: float) -> None:
        """Adopt what the other processes wrote."""
        late = LIVE_SLOTS * self._slot_seconds
        # A machine whose clock is wrong writes entries from the future.
        self._traffic.others = [entry for entry in others if entry.written_at < now + late]
        for entry in self._traffic.others:
            self._hour.learn(entry, now)
            if not self._minute.has_headers:
                self._minute.key_limit = entry.minute_limit or self._minute.key_limit
        self._hour.recount(late, now)
