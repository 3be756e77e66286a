"""The requests that count against a key's quota: our own, and those of other processes."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from airflow_provider_talkpilot.api.quota.ledger import LedgerEntry

# A request without a response for so many seconds no longer holds up the next one.
PATIENCE = 2.0


class Permit(NamedTuple):
    """Permission for one request, given at a Unix time; permits are numbered in their order."""

    number: int
    sent_at: float


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
