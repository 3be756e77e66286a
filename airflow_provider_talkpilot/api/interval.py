"""Half-open intervals of ``created_at``: every call belongs to exactly one of them."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from airflow_provider_talkpilot.api.errors import IntervalError
from airflow_provider_talkpilot.api.redaction import plain

# TalkPilot does not say whether it lists a call exactly at `from` or `to`. So a request is this
# much wider on each side, and the client keeps the calls of [start, end).
MARGIN = timedelta(seconds=1)

# Clocks of two machines differ by less: an interval that ends so soon in the future is over, too.
CLOCK_SKEW = timedelta(minutes=1)
# If an interval ends within this time, a retry of the task can help.
_SOON = timedelta(hours=1)

# How BigQuery, JavaScript and Java write UTC after a moment.
_UTC = re.compile(r" ?(UTC|GMT|Z(\[UTC\])?)$")

_FIRST, _LAST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, order=True)
class Interval:
    """The calls with ``start <= created_at < end``.

    :param start: aware datetime, kept in UTC.
    :param end: aware datetime after ``start``, kept in UTC.
    :raises IntervalError: when a bound is naive, or ``end`` is not after ``start``.
    """

    start: datetime
    end: datetime

    def __post_init__(self) -> None:
        for name in ("start", "end"):
            bound = getattr(self, name)
            if bound.tzinfo is None:
                raise IntervalError(f"The interval's {name} {bound} has no time zone; give UTC.")
            object.__setattr__(self, name, _bound(name, bound))
        if self.start == self.end:
            raise IntervalError(
                f"The interval {self} has zero length, so it can hold no call. Give an end after "
                "the start. In Airflow 3, schedule='@daily' makes such intervals: use "
                "CronDataIntervalTimetable('@daily', timezone='UTC')."
            )
        if self.start > self.end:
            raise IntervalError(f"The interval {self} is reversed: swap its start and end.")

    @classmethod
    def parse(cls, start: date | str | None, end: date | str | None) -> Interval:
        """Create an interval from datetimes, dates or ISO 8601 texts.

        :param start: first moment inside; a date means its midnight, no time zone means UTC.
        :param end: first moment after it, likewise.
        :raises IntervalError: when a bound is missing or unreadable, or the class refuses it.
        """
        if not start or not end:
            given = f"start={start or 'none'}, end={end or 'none'}"
            raise IntervalError(f"The interval is missing a bound ({given}): give both.")
        return cls(_bound("start", start), _bound("end", end))

    def require_over(self, now: datetime | None = None) -> None:
        """Raise an error if the interval is not over yet: new calls can still come.

        :raises IntervalError: when it is not over; retryable if it is over within an hour.
        """
        now = now or datetime.now(UTC)
        if self.end > now + CLOCK_SKEW:
            raise IntervalError(
                f"The interval {self} ends in the future (it is {format_utc(now)} now, by "
                "this machine's clock): wait until it is over, or give an earlier end.",
                retryable=self.end <= now + _SOON,
            )

    @property
    def request_from(self) -> datetime:
        """``from`` of a request: a second before the start."""
        return max(self.start, _FIRST + MARGIN) - MARGIN

    @property
    def request_to(self) -> datetime:
        """``to`` of a request: a second after the end."""
        return min(self.end, _LAST - MARGIN) + MARGIN

    def overlaps(self, other: Interval) -> bool:
        """Return whether a moment can be in both intervals."""
        return self.start < other.end and other.start < self.end

    def __contains__(self, moment: datetime) -> bool:
        return self.start <= moment < self.end

    def __str__(self) -> str:
        return f"[{format_utc(self.start)}, {format_utc(self.end)})"


def format_utc(moment: datetime) -> str:
    """Write an aware datetime as the API does: ISO 8601, UTC, ``Z``, fractions where needed."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def read_moment(value: object) -> datetime:
    """Read a moment: a datetime, or ISO 8601 as Postgres, BigQuery, JavaScript and Python write it.

    A text without a zone is in UTC, and a date means its midnight. Digits of a second after the
    sixth are cut off. A number is refused: it may count seconds or milliseconds.

    :return: the moment in UTC, a datetime of the standard library.
    :raises ValueError: when it is no moment, or outside the years 1 to 9999 in UTC.
    """
    moment = value
    if isinstance(value, str):
        with suppress(ValueError):  # its message quotes the text, which can be a caller's
            moment = datetime.fromisoformat(_UTC.sub("+00:00", value.strip().upper()))
    if not isinstance(moment, datetime):
        raise ValueError("it should be a date and time in ISO 8601, in the years 1 to 9999")
    try:
        utc = moment.astimezone(UTC) if moment.tzinfo else moment
    except (OverflowError, ValueError):
        raise ValueError("the moment is outside the years 1 to 9999 in UTC") from None
    return datetime.combine(utc.date(), utc.time(), UTC)  # also from pendulum's subclass


def _bound(name: str, value: object) -> datetime:
    if isinstance(value, date) and not isinstance(value, datetime):
        value = value.isoformat()
    try:
        return read_moment(value)
    except ValueError:
        raise IntervalError(
            f"The interval's {name} {plain(value)!r} is no date or time within the years 1 to 9999 "
            "in UTC: write it as ISO 8601, such as 2026-03-18 or 2026-03-18T00:00:00Z."
        ) from None
