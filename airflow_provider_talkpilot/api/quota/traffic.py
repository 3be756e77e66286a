"""What is known of a key's requests: our own, the other processes', and the server's count."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping, Sequence
from email.utils import parsedate_to_datetime
from typing import NamedTuple, Protocol

from pydantic import BaseModel, Field

# A request that got no response in this time no longer holds up the next one.
PATIENCE = 2.0
# An hour has this many slots, of ten seconds each.
HOUR_SLOTS = 360
# A smaller difference between the server's clock and ours is not corrected: the header that shows
# it has whole seconds only.
CLOCK_TOLERANCE = 2.0
# A window that ends later than this is no minute.
LONGEST_WINDOW = 3900.0


class Permit(NamedTuple):
    """Permission for one request.

    :param number: counts the permits of a process.
    :param sent_at: the Unix time at which the request may leave.
    """

    number: int
    sent_at: float


class RateHeaders(NamedTuple):
    """The server's count of the key's minute, in the headers of one response.

    :param limit: requests that the key may send in a minute.
    :param remaining: requests that are left after this one.
    :param reset: Unix time by our clock at which the window ends, if windows are fixed. With
        sliding ones it is always a minute from now.
    :param read_at: Unix time at which the response came.
    """

    limit: int
    remaining: int
    reset: float
    read_at: float

    @classmethod
    def parse(cls, headers: Mapping[str, str], now: float) -> RateHeaders | None:
        """Read ``X-RateLimit-*``; return None if one is missing or makes no sense."""
        try:
            limit = int(headers["X-RateLimit-Limit"])
            remaining = int(headers["X-RateLimit-Remaining"])
            reset = float(headers["X-RateLimit-Reset"]) + _clock_skew(headers, now)
        except (KeyError, ValueError):
            return None
        if not abs(reset - now) <= LONGEST_WINDOW or limit < 1:  # NaN fails this too
            return None
        return cls(limit, max(0, remaining), reset, now)


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Read the seconds of ``Retry-After``, a number or a date; None if they are not positive."""
    text = headers.get("Retry-After", "")
    try:
        seconds = float(text)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(text).timestamp() + _clock_skew(headers, now) - now
        except (ValueError, TypeError, OverflowError):
            return None
    return seconds if 0 < seconds < math.inf else None


def _clock_skew(headers: Mapping[str, str], now: float) -> float:
    """Return the seconds from the server's clock to ours; 0 for a small difference."""
    try:
        skew = now - parsedate_to_datetime(headers["Date"]).timestamp()
    except (KeyError, ValueError, TypeError, OverflowError):
        return 0.0
    return skew if abs(skew) > CLOCK_TOLERANCE else 0.0


class LedgerEntry(BaseModel):
    """What one process writes to the ledger: numbers of requests, and nothing about any request.

    :param writer: the name of the process.
    :param written_at: Unix time.
    :param slot_seconds: length of a slot.
    :param slots: requests by slot; slot n ends at ``(n + 1) * slot_seconds`` Unix time.
    :param is_waiting: a request of the process waited for the quota since its last entry.
    :param is_last: this is the last entry of the process, which sends nothing more.
    :param minute_limit: requests a minute that the server said the key may send.
    :param hour_limit: requests an hour, as far as the process knows.
    :param refused_at: Unix time of its last refusal because of the hour, if there was one.
    :param resume_at: Unix time until which that refusal stops all requests.
    """

    writer: str
    written_at: float
    slot_seconds: float = Field(gt=0)
    slots: dict[int, int]
    is_waiting: bool = False
    is_last: bool = False
    minute_limit: int | None = Field(default=None, ge=1)
    hour_limit: int = Field(ge=1)
    refused_at: float | None = None
    resume_at: float | None = None

    def leaving(self, seconds: float, now: float) -> list[tuple[float, int]]:
        """Return when requests will leave a window of ``seconds``: pairs of a time and a number."""
        times = (
            ((slot + 1) * self.slot_seconds + seconds, number)
            for slot, number in self.slots.items()
        )
        return [(time, number) for time, number in times if time > now]

    def count(self, seconds: float, now: float) -> int:
        """Return the number of requests of the last ``seconds``, or up to a slot's more."""
        return sum(number for _, number in self.leaving(seconds, now))


class Ledger(Protocol):
    """Where the processes of a connection write how many requests they sent."""

    def sync(self, own: LedgerEntry) -> Sequence[LedgerEntry]:
        """Replace the entry of this process; return the entries of the others.

        Never raises: without the ledger, the key is refused a few requests more.
        """


class Traffic:
    """The requests in flight of this process, and the ledger's entries of the other processes."""

    def __init__(self) -> None:
        self.others: list[LedgerEntry] = []
        self._round_trip = 0.0  # average seconds from a request to its response
        self._in_flight: dict[int, Permit] = {}
        self._next_number = 0

    @property
    def in_flight(self) -> int:
        return len(self._in_flight)

    def start(self, now: float) -> Permit:
        """Count a new request as in flight."""
        permit = Permit(self._next_number, now)
        self._next_number += 1
        self._in_flight[permit.number] = permit
        return permit

    def finish(self, permit: Permit) -> None:
        """Count a request as no longer in flight."""
        del self._in_flight[permit.number]

    def record_round_trip(self, seconds: float) -> None:
        self._round_trip = (self._round_trip + seconds) / 2

    def needs_more(self, per_second: float, now: float) -> bool:
        """Return whether the rate ``per_second`` needs another request in flight.

        More would gain nothing, and all of them would be refused when the hour ends.
        """
        oldest = now - max(PATIENCE, 4 * self._round_trip)
        pending = sum(permit.sent_at > oldest for permit in self._in_flight.values())
        return pending < max(1.0, 2 * per_second * self._round_trip)

    def wait_until_alone(self, now: float) -> float | None:
        """Return 0 if no request is in flight, and otherwise None: wait for a response."""
        return 0 if self.needs_more(0, now) else None


class Window:
    """The requests of the last ``seconds``.

    A request of ours counts from when its response came. The server counted it before that, so it
    leaves the server's window first.
    """

    def __init__(self, seconds: float, traffic: Traffic) -> None:
        self.seconds, self._traffic = seconds, traffic
        self._responses: deque[float] = deque()

    def add(self, now: float) -> None:
        self._responses.append(now)

    def responses(self, now: float) -> deque[float]:
        """Return when the responses of the last ``seconds`` came, the oldest first."""
        while self._responses and self._responses[0] + self.seconds <= now:
            self._responses.popleft()
        return self._responses

    def own(self, now: float) -> int:
        """Return the number of our requests, including those in flight."""
        return len(self.responses(now)) + self._traffic.in_flight

    def others(self, now: float) -> int:
        """Return the number of requests of the other processes."""
        return sum(entry.count(self.seconds, now) for entry in self._traffic.others)

    def wait_for_room(self, number: int, now: float, *, others_too: bool = False) -> float | None:
        """Return the seconds until ``number`` requests have left; None if there are fewer.

        :param others_too: count the other processes' requests like ours. Without it, they count
            only if ours are too few.
        """
        ours = [(response + self.seconds, 1) for response in self.responses(now)]
        others = [
            leaving
            for entry in self._traffic.others
            for leaving in entry.leaving(self.seconds, now)
        ]
        for requests in [ours + others] if others_too else [ours, ours + others]:
            missing = number
            for time, leaving_then in sorted(requests):
                missing -= leaving_then
                if missing <= 0:
                    return time - now
        return None
