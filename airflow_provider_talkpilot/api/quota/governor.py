"""Decides when the next request of a key may leave: no thread, no clock, no input or output.

TalkPilot allows a number of requests a minute and another an hour, in fixed windows or, now, in
sliding ones (docs.talkpilot.io, guides/rate-limiting). A client that keeps within both limits in
*any* 60 seconds and *any* 3,600 seconds is refused under neither, and loses nothing under either.
So each process counts what it sent, and writes it to a ledger for the others. See
:mod:`.minute` and :mod:`.hour` for what corrects these counts.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Mapping, Sequence

from airflow_provider_talkpilot.api.quota.hour import Hour
from airflow_provider_talkpilot.api.quota.minute import (
    LIVE_SLOTS,
    Minute,
    RateHeaders,
    retry_after,
)
from airflow_provider_talkpilot.api.quota.traffic import HOUR_SLOTS, LedgerEntry, Permit, Traffic

# `Retry-After: 0` and a missing header are seen in the wild; a retry at once burns the quota.
RETRY_AFTER_FLOOR = 1.0
RETRY_AFTER_CEILING = 3900.0
MOST_DOUBLINGS = 6
# Processes that were refused together come back spread over so many seconds.
JITTER = 0.5


class Governor:
    """The state of one key's quota as one process knows it. Not thread-safe.

    ``writer`` names the process in the ledger; the others are as in :class:`.quota.Quota`.
    """

    def __init__(
        self,
        writer: str = "",
        *,
        requests_per_minute: int | None = None,
        requests_per_hour: int | None = None,
        share: float = 1.0,
        minute: float = 60.0,
        hour: float = 3600.0,
        jitter: random.Random | None = None,
    ) -> None:
        self._writer = writer
        self._jitter = jitter or random.Random()  # noqa: S311
        self._traffic = Traffic()
        self.minute = Minute(minute, requests_per_minute, share, self._traffic)
        self._hour = Hour(hour, requests_per_hour, self._traffic)
        self._minute_seconds = minute
        self._slot_seconds = hour / HOUR_SLOTS
        self._blocked_until = -math.inf
        self._refused_in_a_row = 0
        self._has_waited = False  # a request waited for the quota since the last entry

    def wait(self, now: float) -> float | None:
        """Return the seconds until a request may leave; None for "when a response has come"."""
        portion = self.minute.portion(now)
        waits = [self._blocked_until - now, self._hour.wait(now), self.minute.wait(portion, now)]
        if portion is not None and not self._traffic.has_room(portion / self._minute_seconds, now):
            waits.append(None)
        longest = max(0.0, *(wait or 0.0 for wait in waits))
        wait = None if longest == 0 and None in waits else longest
        self._has_waited = self._has_waited or wait != 0
        return wait

    def send(self, now: float) -> Permit:
        """Count a request as in flight, after :meth:`wait` gave 0."""
        return self._traffic.start(now)

    def record_response(self, permit: Permit, headers: Mapping[str, str], now: float) -> None:
        """Note a response that is no 429."""
        self._traffic.finish(permit)
        self._traffic.record_round_trip(now - permit.sent_at)
        self._refused_in_a_row = 0
        self.minute.window.add(now)
        self.minute.observe(permit, RateHeaders.parse(headers, now), now)
        self._hour.record_response(permit, now)

    def record_failure(self, permit: Permit, now: float) -> None:
        """Note that a request got no response; the server may have counted it all the same."""
        self._traffic.finish(permit)
        self.minute.window.add(now)
        self._hour.window.add(now)

    def record_refusal(self, permit: Permit, headers: Mapping[str, str], now: float) -> float:
        """Note a 429; return the seconds for which nothing leaves now."""
        self._traffic.finish(permit)
        self._refused_in_a_row += 1
        rate, told = RateHeaders.parse(headers, now), retry_after(headers)
        if rate:
            self.minute.observe(permit, rate, now)
        if rate is None and self.minute.has_headers:
            # The API sends rate headers: this one is of a gateway, and says nothing of the quota.
            self._hour.window.add(now)
            wait = told or 0.0
        elif told and (told > 1.05 * self._minute_seconds or (rate and rate.remaining > 0)):
            wait = self._hour.record_refusal(told, now)
        else:
            self._hour.window.add(now)
            wait = self.minute.record_refusal(told, now)
        # A server that refuses again gets more time each time.
        backoff = RETRY_AFTER_FLOOR * 2.0 ** min(self._refused_in_a_row - 1, MOST_DOUBLINGS)
        wait = min(max(wait, backoff), RETRY_AFTER_CEILING) + JITTER * self._jitter.random()
        self._blocked_until = max(self._blocked_until, now + wait)
        return self._blocked_until - now

    def entry(self, now: float, *, is_closed: bool = False) -> LedgerEntry:
        """Return what the other processes are to know of this one."""
        slots = Counter(
            math.floor(moment / self._slot_seconds) for moment in self._hour.window.moments(now)
        )
        slots[math.floor(now / self._slot_seconds)] += self._traffic.in_flight
        has_waited, self._has_waited = self._has_waited, False
        refused_at, resume_at = self._hour.last_refusal(now)
        return LedgerEntry(
            writer=self._writer,
            written_at=now,
            slot_seconds=self._slot_seconds,
            slots=+slots,
            is_waiting=has_waited and not is_closed,
            is_closed=is_closed,
            minute_limit=self.minute.key_limit,
            hour_limit=self._hour.limit,
            refused_at=refused_at,
            resume_at=resume_at,
        )

    def learn(self, others: Sequence[LedgerEntry], now: float) -> None:
        """Take over what the other processes wrote."""
        # An entry from the future is of a machine whose clock is wrong.
        newest = now + LIVE_SLOTS * self._slot_seconds
        self._traffic.others = [entry for entry in others if entry.written_at < newest]
        for entry in self._traffic.others:
            self._hour.learn(entry, now)
            if not self.minute.has_headers:
                self.minute.key_limit = entry.minute_limit or self.minute.key_limit
