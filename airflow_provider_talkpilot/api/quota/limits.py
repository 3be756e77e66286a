"""The two limits of a key: requests a minute, and requests an hour.

Each limit counts the requests that were sent. The server's responses correct the count.
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

# After this many responses in a row without rate headers, the server counts as one that sends
# none. One response is not enough: errors of the edge come without rate headers.
HEADERLESS_RESPONSES = 3
# With sliding windows, X-RateLimit-Reset is a whole minute away. If it is nearer than this share of
# a minute, windows are fixed.
FIXED_WINDOW_SHARE = 0.97
# If other software has used up the minute, one request leaves after 1/4 of it, and reads what is
# left.
LOOKS_PER_MINUTE = 4
# If other software sends, this many requests are left to it, because it sees ours late.
LEFT_TO_OTHERS = 2
# A process that wrote nothing to the ledger for this many slots counts as gone.
LIVE_SLOTS = 3
# TalkPilot's limit of the hour, unless the key has another: docs.talkpilot.io,
# guides/rate-limiting.
DEFAULT_LIMIT = 1000
# A refusal is expected once this part of the limit is spent.
EXPECTED_SHARE = 0.8
# The others' requests are known by the slot only. So this part of a recounted limit is used.
RECOUNTED_SHARE = 0.97
# When the hour is used up, requests wait until 1/20 of the limit is free again.
BATCHES_PER_HOUR = 20
# After an unexplained refusal, one request tries again after 1/12 of an hour. Each further wait is
# twice as long.
TRIES_PER_HOUR, MOST_DOUBLINGS = 12, 6


class Minute:
    """The key's minute. Every response tells its limit, and how many requests are left.

    Three counts must allow a request:

    - our own requests of the last 60 seconds are below the portion of this process;
    - if the connection has a ceiling, the requests of all its processes are below it;
    - the server's count, which includes other software, has a request left: that is
      ``X-RateLimit-Remaining`` less our requests in flight. In a sliding window, each request of
      ours that has left the window since that response makes room. In a fixed window, only its end
      makes room.
    """

    def __init__(self, seconds: float, ceiling: int | None, share: float, traffic: Traffic) -> None:
        self.key_limit: int | None = None  # from a response, to this process or another one
        # Without refused requests: the server need not count them.
        self.window = Window(seconds, traffic)
        self.seconds, self._ceiling, self._share = seconds, ceiling, share
        self._traffic = traffic
        # The latest response with rate headers, its permit's number, and our responses until then.
        self._rate: RateHeaders | None = None
        self._rate_number = -1
        self._responses_then = 0
        self._unknown_software_sends = False  # software that is not in the ledger
        self._without_headers = 0  # responses in a row

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
        return self._rate is not None and self._without_headers < HEADERLESS_RESPONSES

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
        """Return the seconds until a request may leave; None to wait for a response."""
        portion = self._portion(now)
        wait = self._wait(portion, now)
        if wait == 0 and portion is not None:
            return 0 if self._traffic.needs_more(portion / self.seconds, now) else None
        return wait

    def _wait(self, portion: int | None, now: float) -> float | None:
        own = self.window.own(now)
        free = math.inf if portion is None else portion - own
        if self._ceiling is not None:
            free = min(free, self._ceiling - own - self.window.others(now))
        if free <= 0:
            return self.window.wait_for_room(1 - int(free), now)
        if self._without_headers >= HEADERLESS_RESPONSES:
            return 0
        if self._rate is None or now >= self._rate.read_at + self.seconds:
            return self._traffic.wait_until_alone(now)
        return self._wait_for_server(self._rate, own, portion, now)

    def observe(self, permit: Permit, rate: RateHeaders | None, now: float) -> None:
        """Note the server's count, or that a response came without it."""
        if rate is None:
            self._without_headers += 1
            return
        self.key_limit, self._without_headers = rate.limit, 0
        if permit.number < self._rate_number:
            return  # a later request's response came first, and its count is newer
        self._rate, self._rate_number = rate, permit.number
        self._responses_then = len(self.window.responses(now))
        known = self.window.own(now) + self.window.others(now)
        self._unknown_software_sends = rate.limit - rate.remaining > known

    def record_refusal(self, retry_after: float | None, now: float) -> float:
        """Return the seconds to wait; a whole minute in ``Retry-After`` only names the limit."""
        if retry_after is None or retry_after < FIXED_WINDOW_SHARE * self.seconds:
            return retry_after or 0.0
        wait = self.window.wait_for_room(1, now)
        return self.seconds / LOOKS_PER_MINUTE if wait is None else wait

    def _wait_for_server(
        self, rate: RateHeaders, own: int, portion: int | None, now: float
    ) -> float | None:
        """Return the seconds until the server's count allows a request, as :meth:`wait`."""
        in_flight = self._traffic.in_flight
        is_fixed = rate.reset - rate.read_at < FIXED_WINDOW_SHARE * self.seconds
        have_left = (
            0 if is_fixed else max(0, self._responses_then - len(self.window.responses(now)))
        )
        reserve = rate.limit - int(rate.limit * self._share)
        free = rate.remaining - reserve - in_flight + have_left
        uses_half_its_portion = portion is not None and own >= portion / 2
        if self._unknown_software_sends and uses_half_its_portion and have_left <= in_flight:
            free -= LEFT_TO_OTHERS
        if free > 0:
            return 0
        if is_fixed:
            again_at = rate.reset + self.seconds / 60  # the header has whole seconds
        elif (wait := self.window.wait_for_room(1 - free, now)) is not None:
            again_at = now + wait
        else:
            again_at = rate.read_at + self.seconds / LOOKS_PER_MINUTE
        return self._traffic.wait_until_alone(now) if now >= again_at else again_at - now


class Hour:
    """The key's hour. No header tells it: only a refusal shows that it is used up.

    Requests leave until the server refuses one. Then a limit is known, and the requests are counted
    up to it:

    - If the refusal names an exact time (fixed windows), requests wait until then.
    - If it says "an hour" (sliding windows), it only means that the hour is used up. Requests wait
      until a batch of those that were counted has left the window.
    - If it comes long before the limit, other software spent the hour, or the key's limit is lower.
      One request tries again, after 5, 10, 20, ... minutes.

    An hour after the last refusal, one request finds out whether the limit is higher.
    """

    def __init__(self, seconds: float, ceiling: int | None, traffic: Traffic) -> None:
        self.window = Window(seconds, traffic)  # with refused requests: the server may count them
        self.limit = ceiling or DEFAULT_LIMIT  # as far as known
        self.refused_at = self.resume_at = -math.inf
        self._seconds, self._ceiling, self._traffic = seconds, ceiling, traffic
        self._most = self.limit  # the highest limit seen, which no refusal lowers
        self._is_limit_proven = False  # by a refusal
        self._is_trying = False  # one request at a time, until the server accepts one
        self._tries = 0

    def wait(self, now: float) -> float | None:
        """Return the seconds until a request may leave; None to wait for a response."""
        if now < self.resume_at:
            return self.resume_at - now
        if self._is_trying:
            return self._traffic.wait_until_alone(now)
        is_ceiling = self.limit == self._ceiling
        is_unlimited = not is_ceiling and not self._is_limit_proven
        if is_unlimited or self._spent(now) < self.limit:
            return 0
        if not is_ceiling and not self._was_refused(now):
            return self._traffic.wait_until_alone(now)
        wait = self._batch_wait(now)
        if wait is not None:
            self.resume_at = now + wait
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
        spent = self._spent(now)  # without this request, which is no longer in flight
        self.window.add(now)
        self.refused_at, self._is_limit_proven = now, True
        if retry_after < FIXED_WINDOW_SHARE * self._seconds:
            wait = retry_after
        else:
            is_explained = not self._is_trying and spent >= EXPECTED_SHARE * self.limit
            self.limit = max(1, min(spent, self.limit))
            wait = self._batch_wait(now) or 0.0
            if not is_explained:
                try_in = self._seconds / TRIES_PER_HOUR * 2.0 ** min(self._tries, MOST_DOUBLINGS)
                self._is_trying, self._tries = True, self._tries + 1
                wait = min(wait, try_in)
        self.resume_at = now + wait
        return wait

    def learn(self, entry: LedgerEntry, now: float) -> None:
        """Adopt a refusal of another process if it is the latest."""
        if entry.refused_at is not None and entry.refused_at > self.refused_at:
            self.refused_at, self._is_limit_proven = entry.refused_at, True
            # Another machine's clock, or a file, may be wrong.
            self.resume_at = min(entry.resume_at or now, now + self._seconds)
            self.limit = self._capped(entry.hour_limit)
            self._is_trying = False

    def recount(self, seconds: float, now: float) -> None:
        """Raise the limit if other processes now show that more was spent before the refusal.

        :param seconds: how long after a refusal the entries of other processes can come.
        """
        if now < self.refused_at + seconds:
            self.limit = max(self.limit, int(RECOUNTED_SHARE * min(self._spent(now), self._most)))

    def last_refusal(self, now: float) -> tuple[float, float] | tuple[None, None]:
        """Return when the hour was refused and until when it is closed; Nones if it is neither."""
        if self._is_limit_proven and self._was_refused(now):
            return self.refused_at, self.resume_at
        return None, None

    def _was_refused(self, now: float) -> bool:
        return now - self.refused_at < self._seconds

    def _spent(self, now: float) -> int:
        return self.window.own(now) + self.window.others(now)

    def _batch_wait(self, now: float) -> float | None:
        """Return the seconds until a batch is free; None to wait for a response."""
        number = self._spent(now) - self.limit + max(1, self.limit // BATCHES_PER_HOUR)
        return self.window.wait_for_room(number, now, others_too=True)

    def _capped(self, limit: int) -> int:
        return limit if self._ceiling is None else min(limit, self._ceiling)
