"""The two limits of a key: requests a minute, and requests an hour.

TalkPilot has them in fixed windows or, now, in sliding ones (docs.talkpilot.io,
guides/rate-limiting). A client that keeps within both limits in *any* 60 seconds and *any* 3,600
seconds is refused under neither, and loses nothing under either. So each limit counts what was
sent; the server's responses correct the count.
"""

from __future__ import annotations

import math

from airflow_provider_talkpilot.api.quota.traffic import (
    LedgerEntry,
    Permit,
    RateHeaders,
    Traffic,
    Window,
)

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
# TalkPilot's limit unless raised for a key: docs.talkpilot.io, guides/rate-limiting.
DEFAULT_LIMIT = 1000
# Our own requests explain a refusal from this part of the limit on.
EXPLAINED = 0.8
# The others' requests are known by the slot: of a limit that was counted anew this part is used.
SAFE = 0.97
# After an hour that was used up, requests go on when this part of the limit is free again.
BATCH = 20
# The first try after a refusal that we cannot explain comes after this part of an hour.
FIRST_TRY, MOST_DOUBLINGS = 12, 6


class Minute:
    """The key's minute. Every response tells its limit and what is left of it.

    Three counts must allow a request:

    - our own of the last 60 seconds, below this process's portion of the limit;
    - with a ceiling of the connection: all its processes' of the last 60 seconds, below the
      ceiling;
    - the server's, which also has what other software sent: ``X-RateLimit-Remaining`` less our
      requests in flight. In a sliding window, our requests that turned a minute old since then make
      room. In a fixed one, only its end does.
    """

    def __init__(self, seconds: float, ceiling: int | None, share: float, traffic: Traffic) -> None:
        self.key_limit: int | None = None  # as a response told it, here or in another process
        # Without refused requests: the server need not count them.
        self.window = Window(seconds, traffic)
        self.seconds, self._ceiling, self._share = seconds, ceiling, share
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

    def _portion(self, now: float) -> int | None:
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
        used -= sum(entry.count(self.seconds, now) for entry in waiting)
        return math.ceil(max(0, self.limit - used) / (len(waiting) + 1))

    def wait(self, now: float) -> float | None:
        """Return the seconds until a request may leave; None for "when a response has come"."""
        portion = self._portion(now)
        wait = self._wait(portion, now)
        is_full = portion is not None and not self._traffic.has_room(portion / self.seconds, now)
        return None if wait == 0 and is_full else wait

    def _wait(self, portion: int | None, now: float) -> float | None:
        own = self.window.own(now)
        rooms = [] if portion is None else [portion - own]
        if self._ceiling is not None:
            rooms.append(self._ceiling - own - self.window.others(now))
        if rooms and (room := min(rooms)) <= 0:
            wait = self.window.departure(1 - room, now)
            if wait is None and not self._traffic.in_flight:
                return self.seconds / LOOK_AGAIN
            return wait
        if self._headerless >= HEADERLESS_RESPONSES:
            return 0
        if self._rate is None or now >= self._rate_at + self.seconds:
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
        if retry_after is None or retry_after < FIXED * self.seconds:
            return retry_after or 0.0
        wait = self.window.departure(1, now)
        return self.seconds / LOOK_AGAIN if wait is None else wait

    def _servers_wait(
        self, rate: RateHeaders, own: int, portion: int | None, now: float
    ) -> float | None:
        in_flight = self._traffic.in_flight
        is_fixed = rate.reset - self._rate_at < FIXED * self.seconds
        departed = 0 if is_fixed else max(0, self._own_then - len(self.window.moments(now)))
        reserve = rate.limit - int(rate.limit * self._share)
        room = rate.remaining - reserve - in_flight + departed
        has_most = portion is not None and own >= portion / 2
        if self._others_unseen and has_most and departed <= in_flight:
            room -= CAUTION
        if room > 0:
            return 0
        if is_fixed:
            again_at = rate.reset + self.seconds / 60  # the header has whole seconds
        elif (wait := self.window.departure(1 - room, now)) is not None:
            again_at = now + wait
        else:
            again_at = self._rate_at + self.seconds / LOOK_AGAIN
        return self._traffic.alone(now) if now >= again_at else again_at - now


class Hour:
    """The key's hour. No header tells it: a refusal shows that it is used up.

    Requests leave until the server refuses one. Then we know a limit, and count to it:

    - A refusal that names an exact time (fixed windows) is believed: requests go on at that time.
    - "An hour" (sliding windows) only says that the hour is used up. Our own counts tell when
      requests are an hour old. When a batch of them is, requests go on.
    - A refusal long before the limit means that others spent the hour, or that the key's limit is
      lower. One request tries again, after 5, 10, 20, ... minutes.

    An hour after the last refusal, one request tries whether the limit is higher than it showed.
    """

    def __init__(self, seconds: float, ceiling: int | None, traffic: Traffic) -> None:
        self.window = Window(seconds, traffic)  # with refused requests: the server may count them
        self.limit = ceiling or DEFAULT_LIMIT  # as far as it is known
        self.refused_at = self.closed_until = -math.inf
        self._seconds, self._ceiling, self._traffic = seconds, ceiling, traffic
        self._most = self.limit  # what no refusal lowers
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
            self.limit = self._most = self._capped(spent)

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

    def recount(self, seconds: float, now: float) -> None:
        """Raise a limit that a refusal showed too low: others tell late what they had spent.

        :param seconds: how long after the refusal they do.
        """
        if now < self.refused_at + seconds:
            self.limit = max(self.limit, int(SAFE * min(self._spent(now), self._most)))

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
