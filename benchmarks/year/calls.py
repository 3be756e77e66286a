"""Made-up calls of a year, each with its score, edits, purges and erasure.

A simulated call stands for many (``weight``), so that half a million calls a day are simulated as
fast as five thousand.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Literal

Kind = Literal["edit", "purge", "erasure", "retention"]

# Shares of all calls, and times. Chosen, not measured.
SCORED_LATE = 0.05  # the score comes hours after the call, up to two days, with no new updated_at
NEVER_SCORED = 0.02
EDITED = 0.10  # once, this many days after the call in the mean
EDITED_AFTER_DAYS = 2.0
PURGED, ERASED = 0.02, 0.005  # by hand, at any age up to the retention
RETENTION_DAYS = 90  # then TalkPilot purges what is left
KINDS: tuple[tuple[Kind, float], ...] = (("edit", EDITED), ("purge", PURGED), ("erasure", ERASED))
_SOON = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Change:
    """A change that the list shows when its day is read again."""

    at: datetime
    kind: Kind


@dataclass(frozen=True, slots=True)
class SimulatedCall:
    """A call.

    :param scored_at: when its score comes; None for never.
    :param changes: oldest first; an erasure is the last.
    """

    id: str
    created_at: datetime
    scored_at: datetime | None
    changes: tuple[Change, ...]

    def version(self, at: datetime) -> datetime:
        """``updated_at`` as the API has it at a time."""
        seen = [c.at for c in self.changes if c.at <= at and c.kind != "erasure"]
        return max(seen, default=self.created_at)

    def is_purged(self, at: datetime) -> bool:
        """Whether it has no personal data by then."""
        return any(c.kind in ("purge", "retention") and c.at <= at for c in self.changes)

    def is_erased(self, at: datetime) -> bool:
        """Whether it is gone by then."""
        return any(c.kind == "erasure" and c.at <= at for c in self.changes)

    def is_scored(self, at: datetime) -> bool:
        """Whether its detail has a score by then."""
        return self.scored_at is not None and self.scored_at <= at


def calls_of(day: date, count: int, seed: int) -> Iterator[SimulatedCall]:
    """The calls of a day, in the order of their start; the same for the same seed.

    :param day: the UTC day.
    :param count: how many.
    :param seed: everything follows from it.
    """
    rng = random.Random(f"{seed} {day}")
    midnight = datetime.combine(day, time(), UTC)
    for number in range(count):
        created_at = midnight + timedelta(days=1) * (number + rng.random()) / count
        yield SimulatedCall(
            f"{day} {number:04}", created_at, _scored_at(rng, created_at), _changes(rng, created_at)
        )


def _scored_at(rng: random.Random, created_at: datetime) -> datetime | None:
    kind = rng.random()
    if kind < NEVER_SCORED:
        return None
    late = rng.uniform(1, 48) if kind < NEVER_SCORED + SCORED_LATE else 0
    return created_at + _SOON + timedelta(hours=late)


def _changes(rng: random.Random, created_at: datetime) -> tuple[Change, ...]:
    found = list[Change]()
    for kind, share in KINDS:
        happens = rng.random() < share
        days = rng.uniform(0, RETENTION_DAYS)
        if kind == "edit":
            days = min(rng.expovariate(1 / EDITED_AFTER_DAYS), RETENTION_DAYS)
        if happens:
            found.append(Change(created_at + _SOON + timedelta(days=days), kind))
    if not any(change.kind == "purge" for change in found):
        found.append(Change(created_at + timedelta(days=RETENTION_DAYS), "retention"))
    found.sort(key=lambda change: change.at)
    for number, change in enumerate(found):
        if change.kind == "erasure":
            return tuple(found[: number + 1])
    return tuple(found)
