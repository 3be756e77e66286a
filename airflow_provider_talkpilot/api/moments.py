"""Moments, in every form in which Postgres, JavaScript and Python write them."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

# Postgres: 2026-03-16 10:00:00.5+00; JSON of it, toISOString() and isoformat(): with T, and Z or
# +00:00. Zones far back in time have seconds. Ruby and strftime('%z') put a blank before the zone.
_ISO = re.compile(
    r"(?P<day>\d{4}-\d\d-\d\d)"
    r"(?:[Tt ](?P<time>\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?)"
    r" ?(?P<zone>[Zz]|UTC|GMT|[+-]\d\d(?::?\d\d(?::\d\d(?:\.\d+)?)?)?)?)?",
    re.ASCII,
)
# JavaScript's toUTCString() and e-mail (RFC 2822): Mon, 16 Mar 2026 10:00:00 GMT.
_RFC_2822 = re.compile(
    r"(?:[A-Z][a-z]{2}, )?(?P<day>\d{1,2}) (?P<month>[A-Z][a-z]{2}) (?P<year>[1-9]\d{3}) "
    r"(?P<time>\d\d:\d\d:\d\d) (?P<zone>GMT|UTC|[+-]\d{4})",
    re.ASCII,
)
# JavaScript's toString(): Mon Mar 16 2026 10:00:00 GMT+0000 (Coordinated Universal Time).
_JAVASCRIPT = re.compile(
    r"[A-Z][a-z]{2} (?P<month>[A-Z][a-z]{2}) (?P<day>\d\d) (?P<year>[1-9]\d{3}) "
    r"(?P<time>\d\d:\d\d:\d\d) GMT(?P<zone>[+-]\d{4})(?: \(.*\))?",
    re.ASCII,
)


def read_moment(value: object) -> datetime:
    """Read a moment.

    Digits of a second beyond six are cut off. Without a zone it is in UTC, and a date alone is its
    midnight. A number is no moment: nothing says whether it counts seconds or milliseconds.

    :param value: a text, or a datetime.
    :return: the moment in UTC.
    :raises ValueError: when it is none, or outside the years 1 to 9999 in UTC.
    """
    moment = value if isinstance(value, datetime) else _parse(value)
    if moment.tzinfo is None:
        return moment.replace(tzinfo=UTC)
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("the moment is outside the years 1 to 9999 in UTC") from None


def _parse(value: object) -> datetime:
    if not isinstance(value, str):
        raise ValueError("a moment is a text")
    text = value.strip()
    if found := _ISO.fullmatch(text):
        zone = found["zone"] or ""
        zone = zone if zone[:1] in "+-" else "+00:00"
        return datetime.fromisoformat(f"{found['day']}T{found['time'] or '00:00'}{zone}")
    if found := _RFC_2822.fullmatch(text) or _JAVASCRIPT.fullmatch(text):
        day, month, year, time, zone = found.group("day", "month", "year", "time", "zone")
        return parsedate_to_datetime(f"{day} {month} {year} {time} {zone}")
    raise ValueError("no form in which a moment is written")
