"""Look-backs: how many past days a re-sync reads again, and how often.

A call's list row can change long after the call: a note, a late score, a soft delete. A run sees
the change only when it lists the call's day again. Look-backs list young calls often, old ones
rarely.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, timedelta
from typing import Annotated

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError, model_validator
from pydantic.dataclasses import dataclass as checked_dataclass

from airflow_provider_talkpilot.api import Interval
from airflow_provider_talkpilot.api.errors import ConfigurationError
from airflow_provider_talkpilot.api.models import describe_invalid

ONE_DAY = timedelta(days=1)

Days = Annotated[int, Field(ge=1, le=3650)]


@checked_dataclass(frozen=True, order=True, config=ConfigDict(strict=True, extra="forbid"))
class LookBack:
    """The rule to read a number of past days again, once in a number of days.

    :param days: how many days a run reads.
    :param every: how many days pass between two such runs.
    """

    days: Days
    every: Days

    @model_validator(mode="after")
    def _leaves_no_day_out(self) -> LookBack:
        if self.every > self.days:
            raise ValueError("every is over days, so runs would never read the days between")
        return self

    def read_until(self, read: Mapping[int, date]) -> date | None:
        """Return the first day that no run of this look-back or a longer one has read, if any ran.

        :param read: what earlier runs have read: the first day not read, by the look-back's
            ``days``.
        """
        return max((until for days, until in read.items() if days >= self.days), default=None)

    def first_day(self, end: date, read: Mapping[int, date]) -> date:
        """Return the first day that a run up to ``end`` reads.

        After a pause it is the first day of the run that should have come ``every`` days after the
        last one: that day had its last turn in that run.
        """
        first, until = end - self.days * ONE_DAY, self.read_until(read)
        return min(first, until - (self.days - self.every) * ONE_DAY) if until else first


DEFAULT = (LookBack(3, 1), LookBack(30, 7), LookBack(90, 30))


def parse_look_backs(text: str) -> tuple[LookBack, ...]:
    """Read look-backs as users write them.

    :param text: a JSON list of objects with ``days`` and ``every``; empty for the default.
    :return: the look-backs, shortest first.
    :raises ConfigurationError: when the text is something else, or a look-back skips days.
    """
    if not text.strip():
        return DEFAULT
    try:
        return tuple(sorted(_look_backs.validate_json(text)))
    except ValidationError as error:
        raise ConfigurationError(
            f"The re-sync's look-backs do not fit ({describe_invalid(error)}). Write a JSON "
            'list such as [{"days": 3, "every": 1}, {"days": 30, "every": 7}] (for the shipped '
            "DAG in the Variable talkpilot_resync_look_backs). To turn the re-sync off, pause "
            "the DAG."
        ) from None


def longest_due(
    look_backs: Iterable[LookBack], end: date, read: Mapping[int, date]
) -> LookBack | None:
    """Return the longest look-back that is due, because it covers the shorter ones.

    A look-back is due when ``every`` days have passed since a run read it, or read a longer one.

    :param end: the first day that the run does not read again.
    :param read: what earlier runs have read, as in :meth:`LookBack.read_until`.
    """

    def is_due(look_back: LookBack) -> bool:
        until = look_back.read_until(read)
        return until is None or end - until >= look_back.every * ONE_DAY

    return max(filter(is_due, look_backs), default=None)


def days_to_read(
    longest: LookBack,
    look_backs: Iterable[LookBack],
    end: date,
    read: Mapping[int, date],
    earliest: date = date.min,
) -> Interval:
    """Return the whole UTC days before ``end`` that a run reads: those of all look-backs due.

    :param longest: the longest that is due, of ``look_backs``.
    :param earliest: a day before ``end``; days before it are left out.
    """
    first = min(each.first_day(end, read) for each in look_backs if each <= longest)
    return Interval.parse(max(first, earliest), end)


def read_after(look_back: LookBack, end: date, read: Mapping[int, date]) -> dict[int, date]:
    """Return ``read`` of :func:`longest_due` as it is once a look-back was read up to ``end``."""
    longer = {days: until for days, until in read.items() if days > look_back.days}
    return {look_back.days: end, **longer}


def resync_end(today: date) -> date:
    """Return the first UTC day that a run of today does not read again.

    The newest whole day is the daily DAG's, which may still be fetching its details: both DAGs
    would request them.
    """
    return today - ONE_DAY


_look_backs = TypeAdapter(Annotated[list[LookBack], Field(min_length=1)])
