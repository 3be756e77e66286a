"""The minute of a key's quota. Every response tells its limit and what is left of it.

Three counts must allow a request:

- our own of the last 60 seconds, below this process's portion of the limit;
- with a ceiling of the connection: all its processes' of the last 60 seconds, below the ceiling;
- the server's, which also has what other software sent: ``X-RateLimit-Remaining`` less our
  requests in flight. In a sliding window, our requests that turned a minute old since then make
  room. In a fixed one, only its end does.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import NamedTuple

from airflow_provider_talkpilot.api.quota.traffic import Permit, Traffic, Window

# After so many responses in a row without rate headers, the server is taken to send none. One is
# not enough: errors of the edge come without them.
HEADERLESS_RESPONSES = 3
# A sliding window always ends a minute from now; one that ends before this part of it is fixed.
FIXED = 0.97
# Where other software uses up the minute, one request leaves after this part of it, to find out
# what is left.
LOOK_AGAIN = 4
# Requests left to other software where it is seen to send; it learns of our requests late.
CAUTION = 2
# A process that did not write to the ledger for so many slots is taken to be gone.
LIVE_SLOTS = 3
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


class Minute:
    """What one process knows of the key's minute; ``ceiling`` is for all of the connection."""

    def __init__(self, seconds: float, ceiling: int | None, share: float, traffic: Traffic) -> None:
        self.key_limit: int | None = None  # as a response told it, here or in another process
        # Without refused requests: the server need not count them.
        self.window = Window(seconds, traffic)
        self._seconds, self._ceiling, self._share = seconds, ceiling, share
        self._traffic = traffic
        # The latest response with rate headers, and what was true when it came.
        self._rate: RateHeaders | None = None
        self._rate_at, self._rate_number = -math.inf, -1
        self._own_then = 0
        self._others_unseen = False  # software that is not in the ledger sends, too
        self._headerless = 0

    @property
    def limit(self) -> int | None:
        """Requests a minute that may be used; None before the server told its limit."""
        if self.key_limit is None:
            return self._ceiling
        limit = max(1, int(self.key_limit * self._share))
        return limit if self._ceiling is None else min(limit, self._ceiling)

    @property
    def has_headers(self) -> bool:
        """Whether the server is known to send rate headers."""
        return self._rate is not None and self._headerless < HEADERLESS_RESPONSES

    def portion(self, now: float) -> int | None:
        """Return how many requests a minute this process may send; None for any number.

        The processes that wait for the quota share it evenly. The others keep what they use.
        """
        if self.limit is None:
            return None
        waiting = [
            entry
            for entry in self._traffic.others
            if entry.is_waiting and entry.written_at > now - LIVE_SLOTS * entry.slot_seconds
        ]
        used = self.window.others(now)
        used -= sum(entry.count(self._seconds, now) for entry in waiting)
        return math.ceil(max(0, self.limit - used) / (len(waiting) + 1))

    def wait(self, portion: int | None, now: float) -> float | None:
        """Return the seconds until a request may leave; None for "when a response has come"."""
        own = self.window.own(now)
        rooms = [] if portion is None else [portion - own]
        if self._ceiling is not None:
            rooms.append(self._ceiling - own - self.window.others(now))
        if rooms and (room := min(rooms)) <= 0:
            wait = self.window.departure(1 - room, now)
            if wait is None and not self._traffic.in_flight:
                return self._seconds / LOOK_AGAIN
            return wait
        if self._headerless >= HEADERLESS_RESPONSES:
            return 0
        if self._rate is None or now >= self._rate_at + self._seconds:
            return self._traffic.alone(now)
        return self._servers_wait(self._rate, own, portion, now)

    def observe(self, permit: Permit, rate: RateHeaders | None, now: float) -> None:
        """Note the server's count, or that a response came without it."""
        if rate is None:
            self._headerless += 1
            return
        self.key_limit, self._headerless = rate.limit, 0
        if permit.number < self._rate_number:
            return  # it was overtaken, and does not know of the requests behind it
        self._rate, self._rate_at, self._rate_number = rate, now, permit.number
        self._own_then = len(self.window.moments(now))
        known = self.window.own(now) + self.window.others(now)
        self._others_unseen = rate.limit - rate.remaining > known

    def record_refusal(self, retry_after: float | None, now: float) -> float:
        """Return the seconds to wait; a whole minute in ``Retry-After`` only names the limit."""
        if retry_after is None or retry_after < FIXED * self._seconds:
            return retry_after or 0.0
        wait = self.window.departure(1, now)
        return self._seconds / LOOK_AGAIN if wait is None else wait

    def _servers_wait(
        self, rate: RateHeaders, own: int, portion: int | None, now: float
    ) -> float | None:
        in_flight = self._traffic.in_flight
        is_fixed = rate.reset - self._rate_at < FIXED * self._seconds
        departed = 0 if is_fixed else max(0, self._own_then - len(self.window.moments(now)))
        reserve = rate.limit - int(rate.limit * self._share)
        room = rate.remaining - reserve - in_flight + departed
        has_most = portion is not None and own >= portion / 2
        if self._others_unseen and has_most and departed <= in_flight:
            room -= CAUTION
        if room > 0:
            return 0
        if is_fixed:
            again_at = rate.reset + self._seconds / 60  # the header has whole seconds
        elif (wait := self.window.departure(1 - room, now)) is not None:
            again_at = now + wait
        else:
            again_at = self._rate_at + self._seconds / LOOK_AGAIN
        return self._traffic.alone(now) if now >= again_at else again_at - now
