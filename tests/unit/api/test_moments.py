"""Moments are read back equal from whatever program wrote them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_talkpilot.api.moments import read_moment

zones = st.builds(
    lambda minutes: timezone(timedelta(minutes=minutes)), st.integers(-15 * 60, 15 * 60)
)
moments = st.datetimes(datetime(1000, 1, 2), datetime(9999, 12, 30), timezones=zones)  # noqa: DTZ001
MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
DAYS = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]


def postgres(moment: datetime, between: str = " ") -> str:
    """``SELECT now()``: digits after the point, and minutes of the zone, where there are any."""
    zone = moment.strftime("%z")
    digits = f".{moment.microsecond:06}".rstrip("0").rstrip(".")
    minutes = f":{zone[3:]}" if zone[3:] != "00" else ""
    return f"{moment.date()}{between}{moment:%H:%M:%S}{digits}{zone[:3]}{minutes}"


def to_string(moment: datetime) -> str:
    """JavaScript's ``String(date)``."""
    day = f"{DAYS[moment.weekday()]} {MONTHS[moment.month - 1]} {moment.day:02} {moment.year:04}"
    return f"{day} {moment:%H:%M:%S} GMT{moment:%z} (Mitteleuropäische Zeit)"


def to_utc_string(moment: datetime) -> str:
    """JavaScript's ``date.toUTCString()``."""
    return format_datetime(moment.astimezone(UTC), usegmt=True)


Write = Callable[[datetime], str]
WRITERS: dict[str, Write] = {
    "Postgres": postgres,
    "Postgres, T": lambda moment: postgres(moment, "T"),
    "Python, str": str,
    "Python, isoformat": datetime.isoformat,
    "Python, %z": lambda moment: moment.strftime("%Y-%m-%dT%H:%M:%S.%f%z"),
    "Python, blank %z": lambda moment: moment.strftime("%Y-%m-%d %H:%M:%S.%f %z"),
    "Python, naive": lambda moment: str(moment.astimezone(UTC).replace(tzinfo=None)),
    "JavaScript, toISOString": lambda moment: moment.astimezone(UTC).strftime("%FT%T.%fZ"),
}
WHOLE_SECONDS: dict[str, Write] = {
    "JavaScript, toString": to_string,
    "JavaScript, toUTCString": to_utc_string,
    "e-mail": format_datetime,
}


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
@given(moment=moments)
def test_what_is_written_is_read_back(write: Write, moment: datetime) -> None:
    read = read_moment(write(moment))
    assert read == moment
    assert read.utcoffset() == timedelta(0)


@pytest.mark.parametrize("write", WHOLE_SECONDS.values(), ids=WHOLE_SECONDS)
@given(moment=moments)
def test_whole_seconds_are_read_back(write: Write, moment: datetime) -> None:
    assert read_moment(write(moment)) == moment.replace(microsecond=0)


@given(moment=moments, nanoseconds=st.integers(0, 999_999_999), digits=st.integers(0, 9))
def test_digits_beyond_microseconds_are_cut_off(
    moment: datetime, nanoseconds: int, digits: int
) -> None:
    fraction = f"{nanoseconds:09}"[:digits]
    text = moment.strftime("%Y-%m-%dT%H:%M:%S") + (f".{fraction}" if digits else "") + "Z"
    wanted = moment.replace(microsecond=int(fraction.ljust(9, "0")[:6]), tzinfo=UTC)
    assert read_moment(text) == wanted


@pytest.mark.parametrize(
    "text",
    [
        "2026-03-16 10:00:00+00",
        "2026-03-16T10:00:00+0000",
        "2026-03-16T10:00:00Z",
        "2026-03-16t10:00:00z",
        "2026-03-16 10:00:00",
        "2026-03-16 10:00:00 UTC",
        "2026-03-16 06:30:00-03:30",
        "2026-03-16T10:00Z",
        " 2026-03-16T10:00:00,000Z ",
        "Mon, 16 Mar 2026 10:00:00 GMT",
        "16 Mar 2026 11:00:00 +0100",
        "Mon Mar 16 2026 15:30:00 GMT+0530 (India Standard Time)",
    ],
)
def test_forms(text: str) -> None:
    assert read_moment(text) == datetime(2026, 3, 16, 10, tzinfo=UTC)


def test_a_zone_long_ago_has_seconds() -> None:
    found = read_moment("1890-01-01 00:53:28+00:53:28")
    assert found == datetime(1890, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    "value",
    [
        None,
        1773655200,
        1773655200.5,
        True,
        "",
        "1773655200",
        "infinity",
        "0044-03-15 00:00:00+00 BC",
        "12026-03-16T10:00:00Z",
        "0001-01-01T00:00:00+14:00",
        "2026-02-30T10:00:00Z",
        "2026-03-16T25:00:00Z",
        "2026-03-16T10:00:00+99:00",
        "16.03.2026 10:00:00",
        "03/16/2026 10:00:00",
        "Mon Mar 16 10:00:00 2026",
        "16 Foo 2026 10:00:00 GMT",
        "16 Mar 0099 10:00:00 GMT",
        "2026-03-16T10:00:00Z and more",
    ],
    ids=repr,
)
def test_what_is_no_moment_is_none(value: object) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_moment(value)


@given(st.text() | st.integers() | st.floats() | st.none())
def test_nothing_else_is_raised(value: object) -> None:
    with suppress(ValueError):
        read_moment(value)
