"""Decides when the next request of a key may leave: no thread, no clock, no input or output.

TalkPilot allows a number of requests a minute and another an hour, in fixed windows or, now, in
sliding ones (docs.talkpilot.io, guides/rate-limiting). A client that keeps within both limits in
*any* 60 seconds and *any* 3,600 seconds is refused under neither, and loses nothing under either.
So the governor counts what it sent itself. Three things correct that count:

- ``X-RateLimit-Remaining`` is the ceiling: other software may spend the minute, too.
- The ledger tells what the other processes of the connection spent. They share the minute evenly:
  each keeps to an equal part while the others wait for theirs, and takes what they leave.
- A refusal (429) shows that a limit was met. ``Retry-After`` is believed where it is exact, that
  is shorter than the window. "A minute" and "an hour" say which limit it was, and no more.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from airflow_provider_talkpilot.api.quota.ledger import (
    HOUR_SLOTS,
    MINUTE_SLOTS,
    LedgerEntry,
    SlidingCount,
)
from airflow_provider_talkpilot.api.quota.rate_headers import RateHeaders, retry_after

# TalkPilot's limit unless raised for a key: docs.talkpilot.io, guides/rate-limiting.
DEFAULT_HOUR_LIMIT = 1000
NO_LIMIT = 10**12
# A refusal at this part of the limit, as far as it is known, shows nothing new; a step up is less.
EXPLAINED = 0.8
# After an hour that was used up, requests go on when this part of it is free again.
HOUR_BATCH = 20
# Beyond the hour's limit as far as it is known, requests go alone; after so many that were let
# through, the limit is taken to be this part higher.
HOUR_STEP, HOUR_PROOF = 8, 3
# Others spent the hour unseen: it is tried again after this part of an hour.
HOUR_TRY, MINUTE_TRY = 12, 4
# `Retry-After: 0` and a missing header are seen in the wild; a retry at once burns the quota.
RETRY_AFTER_FLOOR = 1.0
RETRY_AFTER_CEILING = 3900.0
MOST_DOUBLINGS = 6
# Those who were refused together come back spread over this many seconds.
JITTER = 0.5
# A request without a response for so long holds up no other.
PATIENCE = 2.0
# After so many responses in a row without rate headers the server is taken to have none; errors of
# the edge come without them.
HEADERLESS_RESPONSES = 3
# A window shorter than this part of its length was told exactly.
EXACT = 0.97
# Left to software that is not in the ledger, where it is seen to spend.
CAUTION = 2
# An entry of the ledger that was not written for so many slots is of a process that is gone.
LIVE_SLOTS = 3


@dataclass(frozen=True, slots=True)
class Permit:
    """Leave for one request.

    :param number: permits are numbered in the order they are given.
    :param sent_at: Unix time at which it was given.
    """

    number: int
    sent_at: float


class Governor:
    """The state of one key's quota as one process knows it. Not thread-safe.

    :param writer: names the process in the ledger.
    :param requests_per_minute: ceiling of the connection below the key's limit; None for none.
    :param requests_per_hour: likewise; None to find out the key's.
    :param share: part of the key's minute to use; nothing leaves while less than the rest is left.
    :param minute: seconds of a minute, fewer for a sandbox in a hurry.
    :param hour: seconds of an hour, likewise.
    :param jitter: gives a number from 0 to 1.
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
        self.refused = 0
        self._writer, self._share = writer, share
        self._own_minute_limit = requests_per_minute
        self._jitter = jitter or random.Random()  # noqa: S311
        self._in_flight: dict[int, Permit] = {}
        self._next = 0  # number of the next permit
        self._minute = SlidingCount(minute, MINUTE_SLOTS)
        self._accepted = SlidingCount(minute, MINUTE_SLOTS)  # without what was refused
        self._hour = SlidingCount(hour, HOUR_SLOTS)
        self._round_trip = 0.0
        self._blocked_until = -math.inf
        self._doublings = 0  # refusals since the last response that was none
        # The key's minute, as the latest response told it, or another process.
        self._key_minute_limit: int | None = None
        self._rate: RateHeaders | None = None
        self._rate_at, self._rate_number = -math.inf, -1
        self._freed = 0  # our requests that left the minute since then
        self._doubtful_at: float | None = None  # when one left that it may have told of already
        self._sees_strangers = False  # somebody who is not in the ledger spends
        self._headerless = 0
        # The hour.
        self._hour_ceiling = requests_per_hour or NO_LIMIT
        self._hour_limit = requests_per_hour or DEFAULT_HOUR_LIMIT  # as far as it is known
        self._hour_refused_at = -math.inf
        self._hour_resume_at: float | None = None
        self._hour_is_full = False
        self._hour_try_at: float | None = None  # when one request tries a full hour
        self._hour_tries = 0
        self._hour_is_moving = True  # a request was let through since the last refusal
        self._hour_passed = 0  # requests beyond the limit that were let through since a refusal
        # The other processes of the connection.
        self._others: list[LedgerEntry] = []
        self._was_held = False

    @property
    def usable_limit(self) -> int | None:
        """Requests a minute that may be used; None before the server told its limit."""
        if self._key_minute_limit is None:
            return self._own_minute_limit
        limit = max(1, int(self._key_minute_limit * self._share))
        return limit if self._own_minute_limit is None else min(limit, self._own_minute_limit)

    def wait(self, now: float) -> float | None:
        """Seconds until a request may leave; 0 for now, None for "when a response has come".

        :param now: Unix time.
        """
        self._let_go(now)
        minute = self._minute_wait(now)
        self._was_held = self._was_held or minute != 0
        waits = [self._blocked_until - now, self._hour_wait(now), minute, self._pace_wait(now)]
        longest = max((wait for wait in waits if wait is not None), default=0.0)
        if longest > 0:
            return longest
        return None if None in waits else 0

    def send(self, now: float) -> Permit:
        """Count a request as in flight, after :meth:`wait` gave 0."""
        permit = Permit(self._next, now)
        self._next += 1
        self._in_flight[permit.number] = permit
        return permit

    def record_response(self, permit: Permit, headers: Mapping[str, str], now: float) -> None:
        """Note a response that is no 429."""
        spent = self._spent_in_hour(now)
        self._count(permit, now)
        self._accepted.add(now)
        self._hour_is_moving = True
        self._round_trip = (self._round_trip + now - permit.sent_at) / 2
        self._doublings = 0
        if rate := RateHeaders.parse(headers, now):
            self._headerless = 0
            self._observe(permit, rate, now)
        else:
            self._headerless += 1
        if spent > self._hour_limit:
            # The limit is higher than it was taken to be, or others have left some of it. A few
            # prove little: a refused request can have been counted here and not there.
            self._hour_passed += 1
            step = math.ceil(spent / HOUR_STEP) if self._hour_passed >= HOUR_PROOF else 0
            self._hour_limit = min(spent + step, self._hour_ceiling)
            self._hour_is_full, self._hour_try_at, self._hour_tries = False, None, 0
            self._hour_refused_at = -math.inf

    def record_failure(self, permit: Permit, now: float) -> None:
        """Note that a request got no response; the server may have counted it all the same."""
        self._count(permit, now)

    def record_refusal(self, permit: Permit, headers: Mapping[str, str], now: float) -> float:
        """Note a 429.

        :return: seconds from now for which nothing leaves.
        """
        spent_before = self._spent_in_hour(now) - 1
        self._count(permit, now)
        self.refused += 1
        self._doublings += 1
        rate = RateHeaders.parse(headers, now)
        if rate:
            self._observe(permit, rate, now)
        told = retry_after(headers, now)
        is_hours = told is not None and (
            told > 1.05 * self._minute.seconds or (rate is not None and rate.remaining > 0)
        )
        if told is not None and is_hours:
            wait = self._hours_refusal(told, spent_before, now)
        else:
            wait = self._minutes_refusal(told, now)
        # A server that refuses again gets more time each time.
        backoff = RETRY_AFTER_FLOOR * 2.0 ** min(self._doublings - 1, MOST_DOUBLINGS)
        wait = min(max(wait, backoff), RETRY_AFTER_CEILING) + JITTER * self._jitter.random()
        self._blocked_until = max(self._blocked_until, now + wait)
        if is_hours:
            self._hour_resume_at = self._blocked_until
        return self._blocked_until - now

    def entry(self, now: float, *, is_closed: bool = False) -> LedgerEntry:
        """What the other processes are to know of this one."""
        self._let_go(now)
        slots = self._hour.by_slot()
        if self._in_flight:
            slot = math.floor(now / self._hour.slot_seconds)
            slots[slot] = slots.get(slot, 0) + len(self._in_flight)
        was_held, self._was_held = self._was_held, False
        was_refused = self._was_hour_refused(now)
        return LedgerEntry(
            writer=self._writer,
            written_at=now,
            slot_seconds=self._hour.slot_seconds,
            slots=slots,
            is_waiting=was_held and not is_closed,
            is_closed=is_closed,
            minute_limit=self._key_minute_limit,
            hour_limit=self._hour_limit,
            refused_at=self._hour_refused_at if was_refused else None,
            resume_at=self._hour_resume_at if was_refused else None,
        )

    def learn(self, others: Sequence[LedgerEntry], now: float) -> None:
        """Take over what the other processes wrote."""
        oldest = now - self._hour.seconds - self._hour.slot_seconds
        # An entry from the future is of a machine whose clock is wrong.
        newest = now + LIVE_SLOTS * self._hour.slot_seconds
        self._others = [entry for entry in others if oldest < entry.written_at < newest]
        for entry in self._others:
            if self._rate is None:
                self._key_minute_limit = entry.minute_limit or self._key_minute_limit
            if entry.refused_at is not None and entry.refused_at > self._hour_refused_at:
                self._hour_refused_at, self._hour_resume_at = entry.refused_at, entry.resume_at
                resume_at = min(entry.resume_at or now, now + RETRY_AFTER_CEILING)
                self._blocked_until = max(self._blocked_until, resume_at)
                self._hour_limit = min(entry.hour_limit, self._hour_ceiling)
        if not self._was_hour_refused(now):
            # What one was let through, the others are, too.
            limits = (self._hour_limit, *(entry.hour_limit for entry in self._others))
            self._hour_limit = min(max(limits), self._hour_ceiling)

    # The hour: what the connection spent, beside the limit as far as it is known.

    def _hour_wait(self, now: float) -> float | None:
        spent = self._spent_in_hour(now)
        if spent < self._hour_limit and not self._hour_is_full:
            return 0
        may_try = self._hour_limit < self._hour_ceiling and not self._was_hour_refused(now)
        if not self._hour_is_full and may_try:
            # One request tries whether the key may send more.
            return None if self._active(now) else 0
        if self._hour_try_at is not None and now >= self._hour_try_at:
            return None if self._active(now) else 0
        target = self._hour_limit - max(1, self._hour_limit // HOUR_BATCH)
        self._hour_is_full = spent > target
        if not self._hour_is_full:
            return 0
        departures = self._hour.departures() + [
            departure
            for entry in self._others
            for departure in entry.departures(self._hour.seconds, now)
        ]
        wait = _wait_for(departures, spent - target, now)
        if wait is None or self._hour_try_at is None:
            return wait
        return min(wait, self._hour_try_at - now)

    def _was_hour_refused(self, now: float) -> bool:
        return now - self._hour_refused_at < self._hour.seconds

    def _spent_in_hour(self, now: float) -> int:
        others = sum(entry.count(self._hour.seconds, now) for entry in self._others)
        return len(self._in_flight) + self._hour.total + others

    def _hours_refusal(self, told: float, spent: int, now: float) -> float:
        """Note that the hour is used up; give the seconds to wait."""
        self._hour_refused_at, self._hour_try_at, self._hour_passed = now, None, 0
        if told < EXACT * self._hour.seconds:
            return told  # fixed windows: this is when the next one begins
        # A try that was refused explains no more than the refusal before it.
        is_explained = self._hour_is_moving and spent >= EXPLAINED * self._hour_limit
        self._hour_is_moving = False
        self._hour_limit = max(1, min(spent, self._hour_limit))
        self._hour_is_full = True
        wait = self._hour_wait(now) or 0.0
        if not is_explained and spent:
            # The key's limit is lower than it was taken to be, or others spend where we cannot see
            # it: one request tries again, less and less often.
            try_in = self._hour.seconds / HOUR_TRY * 2.0 ** min(self._hour_tries, MOST_DOUBLINGS)
            self._hour_tries += 1
            self._hour_try_at = now + min(wait, try_in)
            return min(wait, try_in)
        return wait if spent else self._hour.seconds / HOUR_TRY

    # The minute: what this process spent, its part of the limit, and the server's own count.

    def _minute_wait(self, now: float) -> float | None:
        own = len(self._in_flight) + self._minute.total
        limit = self.usable_limit
        if limit is not None and own >= (part := self._part(limit, now)):
            return self._wait_for_part(own - part + 1, now)
        if self._own_minute_limit is not None:
            # The server does not count for a ceiling of our own.
            others = [d for e in self._others for d in e.departures(self._minute.seconds, now)]
            over = own + sum(count for _, count in others) - self._own_minute_limit
            if over >= 0:
                return _wait_for(self._minute.departures() + others, over + 1, now)
        if self._headerless >= HEADERLESS_RESPONSES:
            return 0
        if self._rate is None or now >= self._look_again_at(self._rate, now):
            # Nothing is known: one request finds out.
            return None if self._active(now) else 0
        if self._room(self._rate, now) > 0:
            return 0
        return None if self._active(now) else self._look_again_at(self._rate, now) - now

    def _room(self, rate: RateHeaders, now: float) -> int:
        """How many more requests the server's count lets through."""
        reserve = rate.limit - int(rate.limit * self._share)
        room = rate.remaining - reserve + self._freed - len(self._in_flight)
        takes_more = self._freed <= len(self._in_flight)
        if takes_more and self._sees_strangers and rate.limit > HOUR_BATCH:
            limit = self.usable_limit or rate.limit
            own = len(self._in_flight) + self._minute.total
            if own >= limit / (2 + len(self._rivals(now))):
                room -= CAUTION
        return room

    def _look_again_at(self, rate: RateHeaders, now: float) -> float:
        """When the server's count is no longer known: its window is over, or ours has moved on."""
        if self._is_exact(rate):
            return rate.reset + self._minute.seconds / 60  # the header has whole seconds
        if self._room(rate, now) > 0:
            return self._rate_at + self._minute.seconds
        if self._doubtful_at is not None:
            return self._doubtful_at + self._round_trip
        own = self._accepted.departures()
        return own[0][0] if own else self._rate_at + self._minute.seconds / MINUTE_TRY

    def _is_exact(self, rate: RateHeaders) -> bool:
        """Whether the window is a fixed one: a sliding one always ends a minute from now."""
        return rate.reset - self._rate_at < EXACT * self._minute.seconds

    def _part(self, limit: int, now: float) -> int:
        """This process's part of the minute: an equal one, and what the others leave."""
        spent = {entry.writer: entry.count(self._minute.seconds, now) for entry in self._others}
        rivals = {entry.writer: entry for entry in self._rivals(now)}
        left = limit - sum(count for writer, count in spent.items() if writer not in rivals)
        equal, rest = divmod(max(0, left), len(rivals) + 1)
        # Where there are more of them than requests, they take turns.
        ranks = sorted([self._writer, *rivals])
        turn = int(now // self._minute.seconds) % len(ranks)
        ranks = ranks[turn:] + ranks[:turn]
        parts = {writer: equal + (rank < rest) for rank, writer in enumerate(ranks)}
        taken = sum(
            max(spent[writer], parts[writer] if entry.is_waiting else 0)
            for writer, entry in rivals.items()
        )
        return max(parts[self._writer], left - taken)

    def _wait_for_part(self, number: int, now: float) -> float | None:
        """When so many requests have left of this process and of those that send no more."""
        rivals = self._rivals(now)
        departures = self._minute.departures()
        for entry in self._others:
            if entry not in rivals:
                departures += entry.departures(self._minute.seconds, now)
        wait = _wait_for(departures, number, now)
        # Where the rivals have it all, their number can change.
        return self._minute.seconds / MINUTE_TRY if wait is None and not self._in_flight else wait

    def _rivals(self, now: float) -> list[LedgerEntry]:
        """The processes that send at this time."""
        oldest = now - LIVE_SLOTS * self._hour.slot_seconds
        return [e for e in self._others if not e.is_closed and e.written_at > oldest]

    def _minutes_refusal(self, told: float | None, now: float) -> float:
        """Note that the minute is used up; give the seconds to wait."""
        if told is None or told < EXACT * self._minute.seconds:
            return told or 0.0
        # The minute slides: the oldest request of ours makes room for one.
        own = self._accepted.departures()
        return own[0][0] - now if own else self._minute.seconds / MINUTE_TRY

    # What both share.

    def _pace_wait(self, now: float) -> float | None:
        """Hold back what is more in flight than the pace of the minute needs.

        It would gain nothing, and all of it is refused when the hour ends.
        """
        limit = self.usable_limit
        if limit is None or (self._rate is None and self._headerless >= HEADERLESS_RESPONSES):
            return 0
        pace = self._part(limit, now) / self._minute.seconds
        most = max(1, math.ceil(2 * pace * self._round_trip))
        return 0 if self._active(now) < most else None

    def _active(self, now: float) -> int:
        """Requests in flight whose response may still be on its way."""
        oldest = now - max(PATIENCE, 4 * self._round_trip)
        return sum(permit.sent_at > oldest for permit in self._in_flight.values())

    def _count(self, permit: Permit, now: float) -> None:
        """A request is over: it counts from now on, for the server saw it before."""
        self._let_go(now)
        del self._in_flight[permit.number]
        self._minute.add(now)
        self._hour.add(now)

    def _let_go(self, now: float) -> None:
        self._hour.expire(now)
        self._minute.expire(now)
        for left_at, count in self._accepted.expire(now):
            # Of one that left about when the server told its count, the count may know already.
            is_certain = left_at - self._round_trip - self._minute.slot_seconds > self._rate_at
            if is_certain or not self._sees_strangers:
                self._freed += count
            else:
                self._doubtful_at = left_at

    def _observe(self, permit: Permit, rate: RateHeaders, now: float) -> None:
        if permit.number < self._rate_number and self._rate:
            rate = RateHeaders(rate.limit, min(rate.remaining, self._rate.remaining), rate.reset)
        self._key_minute_limit = rate.limit
        self._rate_number = max(permit.number, self._rate_number)
        self._rate, self._rate_at, self._freed, self._doubtful_at = rate, now, 0, None
        known = len(self._in_flight) + self._minute.total
        known += sum(entry.count(self._minute.seconds, now) for entry in self._others)
        self._sees_strangers = rate.limit - rate.remaining > known


def _wait_for(departures: list[tuple[float, int]], number: int, now: float) -> float | None:
    """Seconds until so many requests have left; None where that takes some that are in flight."""
    for leaves_at, count in sorted(departures):
        number -= count
        if number <= 0:
            return leaves_at - now
    return None
