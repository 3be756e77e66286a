"""What the processes of one connection tell each other about the key's quota."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from pydantic import BaseModel, Field

# An hour is counted in so many slots of equal length: ten seconds each.
HOUR_SLOTS = 360


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
