"""The hour of a key's quota. No header tells it: a refusal shows that it is used up.

Requests leave until the server refuses one. Then we know a limit, and count to it:

- A refusal that names an exact time (fixed windows) is believed: requests go on at that time.
- "An hour" (sliding windows) only says that the hour is used up. Our own counts tell when requests
  are an hour old. When a batch of them is, requests go on.
- A refusal long before the limit means that others spent the hour, or that the key's limit is
  lower. One request tries again, after 5, 10, 20, ... minutes.

An hour after the last refusal, one request tries whether the limit is higher than it showed.
"""

from __future__ import annotations

import math

from airflow_provider_talkpilot.api.quota.minute import FIXED
from airflow_provider_talkpilot.api.quota.traffic import LedgerEntry, Permit, Traffic, Window

# TalkPilot's limit unless raised for a key: docs.talkpilot.io, guides/rate-limiting.
DEFAULT_LIMIT = 1000
# Our own requests explain a refusal from this part of the limit on.
EXPLAINED = 0.8
# After an hour that was used up, requests go on when this part of the limit is free again.
BATCH = 20
# The first try after a refusal that we cannot explain comes after this part of an hour.
FIRST_TRY, MOST_DOUBLINGS = 12, 6


class Hour:
    """What one process knows of the key's hour; ``ceiling`` is for all of the connection."""

    def __init__(self, seconds: float, ceiling: int | None, traffic: Traffic) -> None:
        self.window = Window(seconds, traffic)  # with refused requests: the server may count them
        self.limit = ceiling or DEFAULT_LIMIT  # as far as it is known
        self.refused_at = self.closed_until = -math.inf
        self._seconds, self._ceiling, self._traffic = seconds, ceiling, traffic
        self._is_limit_proven = False  # by a refusal
        self._is_trying = False  # one request goes alone, until the server lets one through
        self._tries = 0

    def wait(self, now: float) -> float | None:
        """Return the seconds until a request may leave; None for "when a response has come"."""
        if now < self.closed_until:
            return self.closed_until - now
        if self._is_trying:
            return self._traffic.alone(now)
        is_ceiling = self.limit == self._ceiling
        is_unlimited = not is_ceiling and not self._is_limit_proven
        if is_unlimited or self._spent(now) < self.limit:
            return 0
        if not is_ceiling and not self._was_refused(now):
            return self._traffic.alone(now)
        wait = self._batch_wait(now)
        if wait is not None:
            self.closed_until = now + wait
        return wait

    def record_response(self, permit: Permit, now: float) -> None:
        self.window.add(now)
        if permit.sent_at <= self.refused_at:
            return
        self._is_trying, self._tries = False, 0
        if (spent := self._spent(now)) > self.limit:
            self._is_limit_proven = False
            self.limit = self._capped(spent)

    def record_refusal(self, retry_after: float, now: float) -> float:
        """Return the seconds to wait; a whole hour in ``Retry-After`` only names the limit."""
        spent = self._spent(now)  # before this request, which no longer is in flight
        self.window.add(now)
        self.refused_at, self._is_limit_proven = now, True
        if retry_after < FIXED * self._seconds:
            wait = retry_after
        else:
            is_explained = not self._is_trying and spent >= EXPLAINED * self.limit
            self.limit = max(1, min(spent, self.limit))
            wait = self._batch_wait(now) or 0.0
            if not is_explained:
                try_in = self._seconds / FIRST_TRY * 2.0 ** min(self._tries, MOST_DOUBLINGS)
                self._is_trying, self._tries = True, self._tries + 1
                wait = min(wait, try_in)
        self.closed_until = now + wait
        return wait

    def learn(self, entry: LedgerEntry, now: float) -> None:
        """Take over a refusal of another process if it is the latest."""
        if entry.refused_at is not None and entry.refused_at > self.refused_at:
            self.refused_at, self._is_limit_proven = entry.refused_at, True
            # Another machine's clock, or a file, may be wrong.
            self.closed_until = min(entry.resume_at or now, now + self._seconds)
            self.limit = self._capped(entry.hour_limit)
            self._is_trying = False

    def last_refusal(self, now: float) -> tuple[float, float] | tuple[None, None]:
        """Return when the hour was refused and until when it is closed, for the other processes."""
        if self._is_limit_proven and self._was_refused(now):
            return self.refused_at, self.closed_until
        return None, None

    def _was_refused(self, now: float) -> bool:
        return now - self.refused_at < self._seconds

    def _spent(self, now: float) -> int:
        return self.window.own(now) + self.window.others(now)

    def _batch_wait(self, now: float) -> float | None:
        """Return the seconds until a batch is free; None where responses must come before."""
        number = self._spent(now) - self.limit + max(1, self.limit // BATCH)
        return self.window.departure(number, now, of_all=True)

    def _capped(self, limit: int) -> int:
        return limit if self._ceiling is None else min(limit, self._ceiling)
