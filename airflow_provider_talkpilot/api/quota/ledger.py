"""How many requests were sent lately: of this process, and of others on the same connection."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from typing import Protocol

from pydantic import BaseModel, Field

MINUTE_SLOTS, HOUR_SLOTS = 600, 360


class SlidingCount:
    """Counts the requests of the last ``seconds``, in slots of equal length.

    A request leaves when its whole slot is ``seconds`` old. The server saw it before it was
    counted here, so it leaves the server's count no later.

    :param seconds: how long a request counts.
    :param slots: how many slots that is.
    """

    def __init__(self, seconds: float, slots: int) -> None:
        self.total = 0
        self.seconds, self.slot_seconds = seconds, seconds / slots
        self._slots: deque[tuple[int, int]] = deque()  # number of the slot, requests in it

    def add(self, now: float) -> None:
        """Count a request that is over."""
        slot = math.floor(now / self.slot_seconds)
        if self._slots and self._slots[-1][0] >= slot:
            slot, count = self._slots.pop()
            self._slots.append((slot, count + 1))
        else:
            self._slots.append((slot, 1))
        self.total += 1

    def expire(self, now: float) -> list[tuple[float, int]]:
        """Let go of what is older.

        :return: moment and number of the requests that left since the last call.
        """
        left = []
        while self._slots and (leaves_at := self._leaves_at(self._slots[0][0])) <= now:
            _, count = self._slots.popleft()
            self.total -= count
            left.append((leaves_at, count))
        return left

    def departures(self) -> list[tuple[float, int]]:
        """When how many requests leave, the oldest first."""
        return [(self._leaves_at(slot), count) for slot, count in self._slots]

    def by_slot(self) -> dict[int, int]:
        """Requests by the number of their slot."""
        return dict(self._slots)

    def _leaves_at(self, slot: int) -> float:
        return (slot + 1) * self.slot_seconds + self.seconds


class LedgerEntry(BaseModel):
    """What one process tells the others on its connection; counts alone, no request.

    :param writer: names the process.
    :param written_at: Unix time.
    :param slot_seconds: length of a slot.
    :param slots: requests by slot; slot n is over at ``(n + 1) * slot_seconds`` Unix time.
    :param is_waiting: the minute's quota held it up since it wrote last: it could send more.
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
        """When how many requests of the last ``seconds`` leave that time, the oldest first."""
        moments = (
            ((slot + 1) * self.slot_seconds + seconds, count) for slot, count in self.slots.items()
        )
        return sorted((leaves_at, count) for leaves_at, count in moments if leaves_at > now)

    def count(self, seconds: float, now: float) -> int:
        """How many requests of the last ``seconds`` it knows of."""
        first = math.floor((now - seconds) / self.slot_seconds)
        return sum(count for slot, count in self.slots.items() if slot >= first)


class Ledger(Protocol):
    """Where the processes of a connection tell each other what they spent."""

    def exchange(self, own: LedgerEntry) -> Sequence[LedgerEntry]:
        """Write the entry of this process in place of its last one; give those of the others.

        A ledger that cannot be read or written gives none, and raises nothing: it costs a refusal.
        """
