"""The ladder of a re-sync: which past days are read again, and how often.

A call's list row changes long after the call: a note, a late score, a purge, a soft delete. Only
reading its day again shows that. A ladder reads young calls often and old ones rarely. Here and not
in staging, since which interval a run takes is decided where runs are. Knows nothing of Airflow.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from typing import Annotated

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as checked_dataclass

from airflow_provider_talkpilot.api import Interval
from airflow_provider_talkpilot.api.errors import ConfigurationError
from airflow_provider_talkpilot.api.models import describe_invalid

log = logging.getLogger(__name__)

MAX_RUNGS = 10
_DAY = timedelta(days=1)
_CURE = (
    'Write a JSON list such as [{"days": 3, "every": 1}, {"days": 30, "every": 7}] (for the '
    "shipped DAG in the Variable talkpilot_resync_ladder)."
)

Days = Annotated[int, Field(ge=1, le=3650)]


@checked_dataclass(frozen=True, order=True, config=ConfigDict(strict=True, extra="forbid"))
class Rung:
    """One look-back.

    :param days: how many days are read again.
    :param every: how many days lie between two times.
    """

    days: Days
    every: Days

    def __str__(self) -> str:
        return f"{self.days} day(s) every {self.every} day(s)"

    @property
    def sure_age(self) -> int:
        """Days: a change of a call up to this old is read within ``every`` days.

        An older one can leave the look-back before its turn comes.
        """
        return self.days + 1 - self.every

    def interval(self, end: date) -> Interval:
        """The whole UTC days before ``end`` that are read again."""
        last = _midnight(end)
        return Interval(last - self.days * _DAY, last)


@dataclass(frozen=True)
class Done:
    """What earlier re-syncs have read.

    :param until: the first day not read, by length of the look-back in days.
    """

    until: Mapping[int, date]

    @classmethod
    def parse(cls, text: str) -> Done:
        """Read what :meth:`__str__` wrote. From anything else nothing is known: all is due."""
        try:
            return cls(_done.validate_json(text or "{}"))
        except ValidationError:
            log.warning("What earlier re-syncs have read is unreadable: everything is read again.")
            return cls({})

    def of(self, rung: Rung) -> date | None:
        """Until when a rung, or a longer one, was read; None where it never was."""
        return max((until for days, until in self.until.items() if days >= rung.days), default=None)

    def with_rung(self, rung: Rung, end: date) -> Done:
        """What is done when a rung has been read up to ``end``; it covers the shorter ones."""
        longer = {days: until for days, until in self.until.items() if days > rung.days}
        return Done({**longer, rung.days: end})

    def __str__(self) -> str:
        return _done.dump_json(dict(sorted(self.until.items()))).decode()


@dataclass(frozen=True)
class Ladder:
    """Look-backs, shortest and most frequent first."""

    rungs: tuple[Rung, ...] = (Rung(3, 1), Rung(30, 7), Rung(180, 30))

    @classmethod
    def parse(cls, text: str) -> Ladder:
        """Read a ladder as users give it.

        :param text: a JSON list of objects with ``days`` and ``every``; empty for the default: 3
            days every day, 30 every week, 180 every month.
        :return: the ladder.
        :raises ConfigurationError: when it is no ladder.
        """
        if not text.strip():
            return cls()
        try:
            rungs = tuple(sorted(_rungs.validate_json(text)))
        except ValidationError as error:
            raise _invalid(f"does not fit ({describe_invalid(error)})") from None
        if not rungs:
            raise _invalid("is empty. To turn the re-sync off, pause the DAG")
        if len(rungs) > MAX_RUNGS:
            raise _invalid(f"has {len(rungs)} rungs, and at most {MAX_RUNGS} are allowed")
        for rung in rungs:
            if rung.every > rung.days:
                raise _invalid(f"reads {rung} and never the days between")
        for shorter, longer in pairwise(rungs):
            if shorter.days == longer.days:
                raise _invalid(f"names {longer.days} days twice")
            if shorter.every >= longer.every:
                raise _invalid(f"reads {longer}, which leaves nothing to do for {shorter}")
        return cls(rungs)

    def due(self, end: date, done: Done) -> Rung | None:
        """Choose the longest rung that is due; it covers the shorter ones.

        A rung is due when ``every`` days have passed since the end of what was read of it last, so
        a day without a run delays it and skips nothing.

        :param end: the first day that is not to be read.
        :param done: what was read before.
        :return: the rung; None where none is due.
        """
        due = [
            rung
            for rung in self.rungs
            if (last := done.of(rung)) is None or end - last >= rung.every * _DAY
        ]
        return max(due, default=None)


def resync_end(run_end: datetime) -> date:
    """The first day that a run does not read again.

    The newest whole day is the daily DAG's, which may still be fetching its details: both would
    ask for them.

    :param run_end: aware end of the run's data interval.
    :return: a UTC day.
    """
    return run_end.astimezone(UTC).date() - _DAY


def clipped(interval: Interval, earliest: datetime) -> Interval | None:
    """The interval without the days before the earliest call; None where nothing is left."""
    start = max(interval.start, _midnight(earliest.astimezone(UTC).date()))
    return Interval(start, interval.end) if start < interval.end else None


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


_rungs = TypeAdapter(list[Rung])
_done = TypeAdapter(dict[int, date])


def _invalid(what: str) -> ConfigurationError:
    return ConfigurationError(f"The re-sync ladder {what}. {_CURE}")
