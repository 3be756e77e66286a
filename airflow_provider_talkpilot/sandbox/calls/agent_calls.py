"""The calls of one agent, in the order of its list."""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right

from airflow_provider_talkpilot.sandbox.calls.times import Micros

Bound = tuple[Micros, bool] | None
"""A bound of ``created_at``, and whether it includes a call exactly on it; None is no bound."""


class AgentCalls:
    """The calls of one agent by (created_at, id), as three columns of equal length."""

    def __init__(self) -> None:
        self.created = array("q")
        self.ordinals = array("q")
        self.deleted = bytearray()

    def between(self, after: Bound, before: Bound) -> tuple[int, int]:
        """Return the position of the first call between two bounds, and that after the last."""
        low, high = 0, len(self.created)
        if after is not None:
            low = (bisect_left if after[1] else bisect_right)(self.created, after[0])
        if before is not None:
            high = (bisect_right if before[1] else bisect_left)(self.created, before[0])
        return low, max(low, high)

    def position(self, ordinal: int, created: Micros) -> int:
        """Return the position of a call."""
        return self.ordinals.index(ordinal, bisect_left(self.created, created))

    def insert(self, position: int, ordinal: int, created: Micros) -> None:
        """Add a call that is not soft-deleted."""
        self.created.insert(position, created)
        self.ordinals.insert(position, ordinal)
        self.deleted.insert(position, 0)

    def remove(self, position: int) -> None:
        """Remove a call."""
        del self.created[position], self.ordinals[position], self.deleted[position]
