"""What is known of a key's requests: our own, other processes', and the server's count of them.

The processes of a connection tell each other by a ledger what they spent.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping, Sequence
from email.utils import parsedate_to_datetime
from typing import NamedTuple, Protocol

from pydantic import BaseModel, Field

# A request without a response for so many seconds no longer holds up the next one.
PATIENCE = 2.0
# An hour is counted in so many slots of equal length: ten seconds each.
HOUR_SLOTS = 360
# Believing a server whose clock is this close to ours beats correcting by a one-second header.
CLOCK_TOLERANCE = 2.0
# A window's end further away than this is no minute's.
LONGEST_WINDOW = 3900.0


class Permit(NamedTuple):
    """Permission for one request, given at a Unix time; permits are numbered in their order."""

    number: int
    sent_at: float


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


class LedgerEntry(BaseModel):
    """What one process tells the others of its connection: counts, nothing of any request.

    :param writer: names the process.
    :param written_at: Unix time.
    :param slot_seconds: length of a slot.
    :param slots: requests by slot; slot n is over at ``(n + 1) * slot_seconds`` Unix time.
    :param is_waiting: a request of it waited for the quota since it wrote last.
    :param is_closed: it sends nothing more, and does not write again.
    :param minute_limit: requests a minute that the server said the key may send.
    :param hour_limit: requests an hour, as far as it knows.
    :param refused_at: Unix time of its last refusal for the hour, if there was one.
    :param resume_at: Unix time before which that refusal lets no request through.
    """

    writer: str
    written_at: float
    slot_seconds: float = Field(gt=0)
    slots: dict[int, int]
    is_waiting: bool = False
    is_closed: bool = False
    minute_limit: int | None = Field(default=None, ge=1)
    hour_limit: int = Field(ge=1)
    refused_at: float | None = None
    resume_at: float | None = None

    def departures(self, seconds: float, now: float) -> list[tuple[float, int]]:
        """Return pairs of a moment and the number of requests that are ``seconds`` old then."""
        moments = (
            ((slot + 1) * self.slot_seconds + seconds, count) for slot, count in self.slots.items()
        )
        return [(leaves_at, count) for leaves_at, count in moments if leaves_at > now]

    def count(self, seconds: float, now: float) -> int:
        """Return the number of requests of the last ``seconds``, at most a slot's too many."""
        return sum(count for _, count in self.departures(seconds, now))


class Ledger(Protocol):
    """The place where the processes of a connection tell each other what they spent."""

    def exchange(self, own: LedgerEntry) -> Sequence[LedgerEntry]:
        """Write the entry of this process in place of its last one; return the others' entries.

        A ledger that cannot be read or written raises nothing: it costs a refusal.
        """


class Traffic:
    """Our requests without a response, and what the other processes wrote to the ledger."""

    def __init__(self) -> None:
        self.others: list[LedgerEntry] = []
        self._round_trip = 0.0  # average seconds from a request to its response
        self._in_flight: dict[int, Permit] = {}
        self._next_number = 0

    @property
    def in_flight(self) -> int:
        return len(self._in_flight)

    def start(self, now: float) -> Permit:
        """Count a request as in flight."""
        permit = Permit(self._next_number, now)
        self._next_number += 1
        self._in_flight[permit.number] = permit
        return permit

    def finish(self, permit: Permit) -> None:
        """Count a request as in flight no longer."""
        del self._in_flight[permit.number]

    def record_round_trip(self, seconds: float) -> None:
        self._round_trip = (self._round_trip + seconds) / 2

    def has_room(self, per_second: float, now: float) -> bool:
        """Whether another request in flight helps to send ``per_second``.

        More requests than that would gain nothing, and all of them are refused when the hour ends.
        """
        oldest = now - max(PATIENCE, 4 * self._round_trip)
        pending = sum(permit.sent_at > oldest for permit in self._in_flight.values())
        return pending < max(1.0, 2 * per_second * self._round_trip)

    def alone(self, now: float) -> float | None:
        """Return the wait of a request that leaves only while no other is in flight."""
        return 0 if self.has_room(0, now) else None


class Window:
    """The requests of the last ``seconds``: ours by when their responses came, and the others'.

    The server saw a request before it is added here, so the server forgets it first.
    """

    def __init__(self, seconds: float, traffic: Traffic) -> None:
        self.seconds, self._traffic = seconds, traffic
        self._moments: deque[float] = deque()

    def add(self, now: float) -> None:
        self._moments.append(now)

    def moments(self, now: float) -> deque[float]:
        """Return when the responses of the last ``seconds`` came, the oldest first."""
        while self._moments and self._moments[0] + self.seconds <= now:
            self._moments.popleft()
        return self._moments

    def own(self, now: float) -> int:
        """Count our requests, those in flight too."""
        return len(self.moments(now)) + self._traffic.in_flight

    def others(self, now: float) -> int:
        """Count the requests of the other processes."""
        return sum(entry.count(self.seconds, now) for entry in self._traffic.others)

    def departure(self, number: int, now: float, *, of_all: bool = False) -> float | None:
        """Return the seconds until ``number`` requests stop counting; None if they are too few.

        :param of_all: of ours and the others' alike; without it, of the others' only where ours
            are too few.
        """
        ours = [(moment + self.seconds, 1) for moment in self.moments(now)]
        others = [
            each for entry in self._traffic.others for each in entry.departures(self.seconds, now)
        ]
        for departures in [ours + others] if of_all else [ours, ours + others]:
            left = number
            for leaves_at, count in sorted(departures):
                left -= count
                if left <= 0:
                    return leaves_at - now
        return None
