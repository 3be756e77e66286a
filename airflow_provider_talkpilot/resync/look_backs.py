"""The look-backs of a re-sync: which past days are read again, and how often.

A call's list row changes long after the call: a note, a late score, a soft delete. Only reading
its day again shows that. Look-backs read young calls often and old ones rarely.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Annotated

import pendulum
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError, model_validator
from pydantic.dataclasses import dataclass as checked_dataclass

from airflow_provider_talkpilot.api import Interval
from airflow_provider_talkpilot.api.errors import ConfigurationError
from airflow_provider_talkpilot.api.models import describe_invalid

ONE_DAY = timedelta(days=1)

Days = Annotated[int, Field(ge=1, le=3650)]

Read = Mapping[int, date]
"""What earlier runs have read: the first day not read, by length of the look-back in days."""


@checked_dataclass(frozen=True, order=True, config=ConfigDict(strict=True, extra="forbid"))
class LookBack:
    """So many days are read again, every so many days."""

    days: Days
    every: Days

    @model_validator(mode="after")
    def _leaves_no_day_out(self) -> LookBack:
        if self.every > self.days:
            raise ValueError("it would never read the days between: every is over days")
        return self

    def interval(self, end: date) -> Interval:
        """The whole UTC days before ``end`` that are read again."""
        last = midnight(end)
        return Interval(last - self.days * ONE_DAY, last)

    def last_read(self, read: Read) -> date | None:
        """Until when this look-back, or a longer one, was read; None where it never was."""
        return max((until for days, until in read.items() if days >= self.days), default=None)

    def added_to(self, read: Read, end: date) -> dict[int, date]:
        """What is read once this look-back has been read up to ``end``; it covers shorter ones."""
        longer = {days: until for days, until in read.items() if days > self.days}
        return {self.days: end, **longer}


@dataclass(frozen=True)
class LookBacks:
    """Look-backs, shortest first."""

    each: tuple[LookBack, ...] = (LookBack(3, 1), LookBack(30, 7), LookBack(90, 30))

    @classmethod
    def parse(cls, text: str) -> LookBacks:
        """Read look-backs as users give them.

        :param text: a JSON list of objects with ``days`` and ``every``; empty for the default: 3
            days every day, 30 every week, 90 every month.
        :raises ConfigurationError: when they are none, or leave days out.
        """
        if not text.strip():
            return cls()
        try:
            return cls(tuple(sorted(_look_backs.validate_json(text))))
        except ValidationError as error:
            raise ConfigurationError(
                f"The re-sync's look-backs do not fit ({describe_invalid(error)}). Write a JSON "
                'list such as [{"days": 3, "every": 1}, {"days": 30, "every": 7}] (for the shipped '
                "DAG in the Variable talkpilot_resync_look_backs). To turn the re-sync off, pause "
                "the DAG."
            ) from None

    def due(self, end: date, read: Read) -> LookBack | None:
        """Choose the longest look-back that is due; it covers the shorter ones.

        One is due when ``every`` days have passed since the end of what was read of it last, so a
        day without a run delays it and skips nothing.
        """
        due = [
            look_back
            for look_back in self.each
            if (last := look_back.last_read(read)) is None
            or end - last >= look_back.every * ONE_DAY
        ]
        return max(due, default=None)


def resync_end(run_end: datetime) -> date:
    """The first UTC day that a run does not read again.

    The newest whole day is the daily DAG's, which may still be fetching its details: both would
    request them.
    """
    return run_end.astimezone(UTC).date() - ONE_DAY


def clipped(interval: Interval, earliest: datetime) -> Interval | None:
    """The interval without the days before the earliest call; None where nothing is left."""
    start = max(interval.start, midnight(earliest.astimezone(UTC).date()))
    return Interval(start, interval.end) if start < interval.end else None


def midnight(day: date) -> datetime:
    """The first moment of a UTC day."""
    return pendulum.datetime(day.year, day.month, day.day, tz="UTC")


_look_backs = TypeAdapter(Annotated[list[LookBack], Field(min_length=1)])
