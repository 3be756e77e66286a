"""Timestamps: whole microseconds since 1970 inside the sandbox, texts in UTC outside."""

from __future__ import annotations

import datetime as dt
from typing import Literal

MomentForm = Literal["iso", "postgres", "python"]
"""``2026-03-16T10:00:00.000Z``, ``2026-03-16 10:00:00+00``, ``2026-03-16T10:00:00+00:00``."""

Micros = int
Moment = dt.datetime | str

SECOND: Micros = 1_000_000
DAY: Micros = 86_400 * SECOND
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


def to_micros(moment: Moment) -> Micros:
    """Return microseconds since 1970; a moment without a time zone is UTC.

    :raises ValueError: when the text is not an ISO 8601 date or time.
    """
    if isinstance(moment, str):
        moment = dt.datetime.fromisoformat(moment)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=dt.UTC)
    return (moment - _EPOCH) // dt.timedelta(microseconds=1)


def day_micros(day: dt.date) -> Micros:
    """Return midnight (UTC) of a day."""
    return (day.toordinal() - _EPOCH.date().toordinal()) * DAY


def to_iso(micros: Micros) -> str:
    """Return ``2026-03-18T00:00:00.000Z``, as the API writes it; six digits only if needed."""
    moment = _EPOCH + dt.timedelta(microseconds=micros)
    precision = "milliseconds" if micros % 1000 == 0 else "microseconds"
    return moment.replace(tzinfo=None).isoformat(timespec=precision) + "Z"


def to_text(micros: Micros, form: MomentForm) -> str:
    """Return a moment in UTC as JavaScript, Postgres or Python writes it."""
    if form == "iso":
        return to_iso(micros)
    text = (_EPOCH + dt.timedelta(microseconds=micros)).isoformat()
    if form == "python":
        return text
    text = text.replace("T", " ").removesuffix(":00")
    whole, point, fraction = text.removesuffix("+00").partition(".")
    return f"{whole}{point}{fraction.rstrip('0')}+00"
