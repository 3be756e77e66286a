"""Lays the outcomes of intervals over days: for each moment the newest outcome counts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from airflow_provider_talkpilot.plugins.overview.outcomes import Outcome

DAY = timedelta(days=1)


def midnight(day: date) -> datetime:
    """Return the first moment of a UTC day."""
    return datetime.combine(day, time(), UTC)


def days_of(outcome: Outcome, days: Sequence[date]) -> Iterator[date]:
    """Return those of the days that an outcome's interval touches; the days have no gaps."""
    first = max(outcome.start.astimezone(UTC).date(), days[0])
    last = min((outcome.end - timedelta(microseconds=1)).astimezone(UTC).date(), days[-1])
    for number in range((last - first).days + 1):
        yield first + number * DAY


@dataclass(frozen=True)
class Piece:
    """A part of a day, and the outcome that counts there."""

    start: datetime
    end: datetime
    outcome: Outcome

    @property
    def is_clipped(self) -> bool:
        """Whether the outcome covers more of the day than this piece."""
        day = midnight(self.start.date())
        whole = max(self.outcome.start, day), min(self.outcome.end, day + DAY)
        return (self.start, self.end) != whole


class Layer:
    """Days with outcomes laid over them.

    :param days: the days, in order, without gaps.
    :param outcomes: newest first; a moment keeps the first one laid over it.
    """

    def __init__(self, days: Sequence[date], outcomes: Iterable[Outcome]) -> None:
        self._pieces: dict[date, list[Piece]] = {}
        free = {day: [(midnight(day), midnight(day) + DAY)] for day in days}
        for outcome in outcomes:
            if not free:
                break
            for day in list(days_of(outcome, days)):
                if day in free:
                    free[day] = list(self._fill(day, free[day], outcome))
                    if not free[day]:
                        del free[day]
        self._whole = set(days) - free.keys()

    def _fill(
        self, day: date, free: Iterable[tuple[datetime, datetime]], outcome: Outcome
    ) -> Iterator[tuple[datetime, datetime]]:
        """Fill the free time in the outcome's interval; return what stays free."""
        for start, end in free:
            first, last = max(start, outcome.start), min(end, outcome.end)
            if first >= last:
                yield start, end
                continue
            self._pieces.setdefault(day, []).append(Piece(first, last, outcome))
            if start < first:
                yield start, first
            if last < end:
                yield last, end

    def pieces(self, day: date) -> list[Piece]:
        """Return the pieces of a day, newest outcome first."""
        return self._pieces.get(day, [])

    def is_whole(self, day: date) -> bool:
        """Whether outcomes cover the whole day."""
        return day in self._whole
