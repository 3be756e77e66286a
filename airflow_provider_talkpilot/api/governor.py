"""When may the next request of a key leave? The decision alone: no thread, no clock, no waiting.

TalkPilot allows a number of requests a minute, told by headers on every response, and a number an
hour, told only by a 429 whose ``Retry-After`` is long (docs.talkpilot.io, guides/rate-limiting).
The server's own count is the one truth that all processes on a key share, so the governor paces by
it and never by a schedule of its own:

- Where nothing is known (at the start, in a new minute, after a refusal) one request asks, and the
  others of this process wait for its answer.
- Alone on the key it sends as long as the server's count, less what is in flight, leaves one.
- Where the count falls by more than its own requests, others spend too. Then every count is a
  moment old: fewer requests are in flight the nearer the end, and it stops a few short of it.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from airflow_provider_talkpilot.api.rate_headers import RateHeaders, retry_after

# `Retry-After: 0` and a missing header are seen in the wild; retrying at once burns the quota.
RETRY_AFTER_FLOOR = 1.0
RETRY_AFTER_CEILING = 3900.0
# All who were refused wait for the same moment; they come back spread over this many seconds.
JITTER = 0.5
# A request that asks on behalf of the others may be lost; after so many seconds another one asks.
PATIENCE = 2.0
# Only after so many answers in a row without rate headers is the server taken to have none: the
# edge's own errors come without them.
HEADERLESS_ANSWERS = 3
# A window that ends later than its header says is a rounded figure, or our clock is ahead.
LATE_STEP, LATEST = 1.0, 3.0
# Two figures for a window's end this close name the same window.
SAME_WINDOW = 1.5
# Where others spend too: in flight is at most this fraction of what is left. Left unspent at the
# end is at least this much and at most this fraction of the limit, more after a window with a
# refusal and step by step less after windows without.
SHARED_SPREAD = 10
SHARED_RESERVE = 2
SHARED_RESERVE_MOST = 10
CAUTION_STEP_UP, CAUTION_STEP_DOWN = 1.0, 0.1
# Below this limit a reserve would cost more than a refusal.
SMALL_LIMIT = 10


@dataclass(frozen=True, slots=True)
class Permit:
    """Leave for one request.

    :param number: permits are numbered in the order they are given.
    :param sent_at: Unix time at which it was given.
    """

    number: int
    sent_at: float


class Budget:
    """A ceiling of our own: at most ``limit`` requests in ``seconds``, counted from the first.

    :param limit: requests.
    :param seconds: length of the window.
    """

    def __init__(self, limit: int, seconds: float) -> None:
        self.limit, self.seconds = limit, seconds
        self._start = -math.inf
        self._spent = 0

    def wait(self, now: float) -> float:
        """Seconds until a request fits in."""
        end = self._start + self.seconds
        return 0.0 if now >= end or self._spent < self.limit else end - now

    def spend(self, now: float) -> None:
        """Count a request."""
        if now >= self._start + self.seconds:
            self._start, self._spent = now, 0
        self._spent += 1


class Governor:
    """The state of one key's quota as one process knows it. Not thread-safe.

    :param share: part of the key's minute limit to use; the governor stops where less than the
        rest is left, whoever spent it.
    :param budgets: ceilings of our own.
    :param jitter: gives a number from 0 to 1.
    """

    def __init__(
        self,
        *,
        share: float = 1.0,
        budgets: Sequence[Budget] = (),
        jitter: random.Random | None = None,
    ) -> None:
        self.refused = 0
        self._share, self._budgets = share, budgets
        self._jitter = jitter or random.Random()  # noqa: S311
        self._next = 0  # number of the next permit
        self._in_flight: dict[int, Permit] = {}
        # What is known of the minute comes from answers to permits from this number on.
        self._asking_from: int | None = 0
        self._headerless = 0
        self._blocked_until = -math.inf
        self._rounds = 0  # refusals in a row, where those in flight together count as one
        self._late = 0.0
        self._round_trip = 0.0
        # The minute window, the last one after its end, and the count in it.
        self._window: RateHeaders | None = None
        self._seen_at = 0.0
        self._base = 0  # what was left before the first request that we account for
        self._own = 0  # our requests that the server may have counted since
        self._lost = 0  # those without an answer, which `remaining` may not show yet
        self._lost_before = 0
        self._others_before = 0.0
        self._is_alone = False  # as far as the last window tells
        self._caution = 0.0
        self._was_refused = False

    @property
    def usable_limit(self) -> int | None:
        """Our share of the minute's limit; None before the server told it."""
        return None if self._window is None else int(self._window.limit * self._share)

    def wait(self, now: float) -> float | None:
        """Seconds until a request may leave; 0 for now, None for "when an answer has come".

        :param now: Unix time.
        """
        held = max([self._blocked_until - now, *(budget.wait(now) for budget in self._budgets)])
        if held > 0:
            return held
        window = self._window
        over = window is None or now >= self._end(window)
        if self._asking_from is None and over and not self._is_unmetered():
            self._asking_from = self._next
        if self._asking_from is not None:
            return 0 if self._may_ask(self._asking_from, now) else None
        if window is None or self._is_unmetered():
            return 0
        room = window.remaining - self._lost - self._reserve(window) - len(self._in_flight)
        if room <= 0:
            # What is in flight may be in the server's count already: its answers tell.
            return None if self._in_flight else self._end(window) - now
        if len(self._in_flight) >= max(1, window.limit // SHARED_SPREAD):
            # The hour ends without notice, and then all that is in flight is refused.
            return None
        is_alone = self._is_alone and not self._others()
        return 0 if is_alone or len(self._in_flight) < self._spread(room, now) else None

    def send(self, now: float) -> Permit:
        """Count a request as in flight, after :meth:`wait` gave 0."""
        permit = Permit(self._next, now)
        self._next += 1
        self._in_flight[permit.number] = permit
        self._own += 1
        for budget in self._budgets:
            budget.spend(now)
        return permit

    def answered(self, permit: Permit, headers: Mapping[str, str], now: float) -> None:
        """Note an answer that is no 429."""
        self._in_flight.pop(permit.number)
        self._round_trip = (self._round_trip + now - permit.sent_at) / 2
        rate = RateHeaders.parse(headers, now)
        if rate:
            self._headerless = 0
            self._observe(permit, rate, now)
        else:
            self._headerless += 1
        if self._asking_from is not None and permit.number >= self._asking_from:
            self._rounds = 0
            if rate or self._is_unmetered():
                self._asking_from = None

    def unanswered(self, permit: Permit) -> None:
        """Note that a request got no answer; the server may have counted it all the same."""
        self._in_flight.pop(permit.number)
        self._lost += 1
        self._lost_before = self._next

    def refuse(self, permit: Permit, headers: Mapping[str, str], now: float) -> float:
        """Note a 429.

        :return: seconds from now for which nothing leaves.
        """
        self._in_flight.pop(permit.number)
        self.refused += 1
        late_before = self._late
        rate = RateHeaders.parse(headers, now)
        if rate:
            self._observe(permit, rate, now)
        self._own = max(0, self._own - 1)
        is_used_up = rate is not None and rate.remaining == 0
        if is_used_up and self._late == late_before:  # not just too early
            self._was_refused = True
        if self._asking_from is None or permit.number >= self._asking_from:
            self._rounds += 1
            self._asking_from = self._next
        wait = self._wait_after_refusal(retry_after(headers, now), is_used_up, now)
        self._blocked_until = max(self._blocked_until, now + wait)
        return self._blocked_until - now

    def _wait_after_refusal(self, told: float | None, is_used_up: bool, now: float) -> float:
        if self._window and is_used_up:
            end = self._end(self._window) - now
            if end > 0 and (told is None or abs(told - end) <= 1):
                # The minute is used up, and we know better than a whole number when the next one
                # begins. One request of each process is no stampede; a late one would find the
                # next minute used up, too.
                self._rounds = 0
                return end
        # A server that keeps refusing after the time it named gets more room every time.
        backoff = RETRY_AFTER_FLOOR * 2.0 ** min(max(0, self._rounds - 1), 6)
        return min(max(told or 0, backoff), RETRY_AFTER_CEILING) + JITTER * self._jitter.random()

    def _is_unmetered(self) -> bool:
        return self._headerless >= HEADERLESS_ANSWERS

    def _may_ask(self, first: int, now: float) -> bool:
        """Whether nobody asks yet, or has for too long."""
        return all(
            now - permit.sent_at >= PATIENCE
            for number, permit in self._in_flight.items()
            if number >= first
        )

    def _end(self, window: RateHeaders) -> float:
        return window.reset + self._late

    def _others(self) -> float:
        """Requests of others for each of ours: in this window, or in the one before it."""
        return max(self._others_before, self._others_now())

    def _others_now(self) -> float:
        if self._window is None:
            return 0.0
        spent = self._base - self._window.remaining
        return max(0, spent - self._own) / max(1, self._own)

    def _reserve(self, window: RateHeaders) -> int:
        """What is left unspent: the part for others, and room for those who send as we do."""
        reserve = window.limit - int(window.limit * self._share)
        others = self._others()
        if not others or window.limit <= SMALL_LIMIT:
            return reserve
        most = max(SHARED_RESERVE, window.limit // SHARED_RESERVE_MOST)
        careful = max(SHARED_RESERVE, math.ceil(others)) + math.ceil(self._caution)
        return max(reserve, min(most, careful))

    def _spread(self, room: int, now: float) -> int:
        """How many may be in flight where others spend too."""
        if now - self._seen_at > max(0.1, 2 * self._round_trip):
            return 1  # the count is old: others may have spent all of it
        return max(1, (room + len(self._in_flight)) // SHARED_SPREAD)

    def _observe(self, permit: Permit, rate: RateHeaders, now: float) -> None:
        window = self._window
        if window is None or self._is_next(rate, window, now):
            self._begin(rate, window)
            self._seen_at = now
            return
        if rate.window < window.window - SAME_WINDOW:
            self._own = max(0, self._own - 1)  # it was counted in an earlier window
            return
        if self._asking_from is not None and permit.sent_at >= self._end(window):
            self._late = min(LATEST, self._late + LATE_STEP)
        if permit.number >= self._lost_before:
            self._lost = 0
        if rate.remaining <= window.remaining:
            self._window = RateHeaders(rate.limit, rate.remaining, window.reset, window.window)
        self._seen_at = now

    def _begin(self, rate: RateHeaders, before: RateHeaders | None) -> None:
        """Start counting in a window, with what was learned in the one before it."""
        # Alone nobody is refused; who was did not see the others spend.
        self._others_before = max(self._others_now(), float(self._was_refused))
        step = CAUTION_STEP_UP if self._was_refused else -CAUTION_STEP_DOWN
        self._caution = max(0.0, self._caution + step)
        self._was_refused = False
        # What was spent of the first window before we came need not go on, but it may.
        self._is_alone = before is not None and self._base >= before.limit
        self._base = rate.limit if before else rate.remaining + 1
        # All in flight may be counted in this window, and the one just answered is.
        self._own, self._lost = len(self._in_flight) + 1, 0
        self._window = rate

    def _is_next(self, rate: RateHeaders, window: RateHeaders, now: float) -> bool:
        """Whether an answer comes from a later window; figures for its end can vary a little."""
        return rate.window > window.window + (0 if now >= window.reset else SAME_WINDOW)
