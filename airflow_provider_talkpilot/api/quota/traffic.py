"""The requests that count against a key's quota: our own, and those of other processes."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

from airflow_provider_talkpilot.api.quota.ledger import LedgerEntry

# A request without a response for so many seconds no longer holds up the next one.
PATIENCE = 2.0


class Permit(NamedTuple):
    """Permission for one request.

    :param number: permits are numbered in the order in which they are given.
    :param sent_at: Unix time at which it was given.
    """

    number: int
    sent_at: float


class Recent:
    """Counts our requests of the last ``seconds``, from the moments of their responses.

    The server saw a request before it is added here, so the server forgets it first.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._moments: deque[float] = deque()

    def add(self, now: float) -> None:
        self._moments.append(now)

    def moments(self, now: float) -> deque[float]:
        """Return when the responses of the last ``seconds`` came, the oldest first."""
        while self._moments and self._moments[0] + self._seconds <= now:
            self._moments.popleft()
        return self._moments

    def count(self, now: float) -> int:
        return len(self.moments(now))

    def departures(self, now: float) -> list[tuple[float, int]]:
        """Return pairs of a moment and the number of requests that stop counting then."""
        return [(moment + self._seconds, 1) for moment in self.moments(now)]


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

    def others_count(self, seconds: float, now: float) -> int:
        """Return the number of requests of the other processes in the last ``seconds``."""
        return sum(entry.count(seconds, now) for entry in self.others)

    def others_departures(self, seconds: float, now: float) -> list[tuple[float, int]]:
        """Return pairs of a moment and the number of the others' requests that stop counting."""
        return [pair for entry in self.others for pair in entry.departures(seconds, now)]


def wait_for(departures: Iterable[tuple[float, int]], number: int, now: float) -> float | None:
    """Return the seconds until ``number`` requests stop counting; None if they are too few."""
    for leaves_at, count in sorted(departures):
        number -= count
        if number <= 0:
            return leaves_at - now
    return None
