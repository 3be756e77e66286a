"""Intervals and moments: which texts are read, and what the error of a wrong one says."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pendulum
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_talkpilot.api import Interval
from airflow_provider_talkpilot.api.errors import IntervalError
from airflow_provider_talkpilot.api.interval import read_moment

START, END = datetime(2026, 3, 18, tzinfo=UTC), datetime(2026, 3, 19, tzinfo=UTC)


@pytest.mark.parametrize(
    ("start", "end"),
    [
        ("2026-03-18", "2026-03-19"),
        (" 2026-03-18T00:00:00Z ", "2026-03-19T00:00:00+00:00"),
        ("2026-03-18T01:00:00+01:00", "2026-03-18T19:00:00-05:00"),
        ("20260318", "2026-03-19 00:00"),
        (START, END),
        (date(2026, 3, 18), date(2026, 3, 19)),
        (datetime(2026, 3, 18), datetime(2026, 3, 19)),  # noqa: DTZ001 - no zone means UTC
        (pendulum.datetime(2026, 3, 18), pendulum.datetime(2026, 3, 19)),
        (pendulum.datetime(2026, 3, 18, 1, tz="Europe/Berlin"), END),
    ],
)
def test_bounds_in_every_shape(start: Any, end: Any) -> None:
    interval = Interval.parse(start, end)
    assert (interval.start, interval.end) == (START, END)
    assert type(interval.start) is type(interval.end) is datetime
    assert interval.start.tzinfo is UTC
    assert str(interval) == "[2026-03-18T00:00:00Z, 2026-03-19T00:00:00Z)"


@pytest.mark.parametrize(
    ("start", "end", "cure"),
    [
        (None, "2026-03-19", r"missing a bound \(start=none, end=2026-03-19\): give both"),
        ("2026-03-18", "", r"missing a bound \(start=2026-03-18, end=none\): give both"),
        ("2026-03-18", "2026-03-18", "zero length.*Give an end.*CronDataIntervalTimetable"),
        ("2026-03-19", "2026-03-18", "reversed: swap its start and end"),
        ("yesterday", "2026-03-18", "start 'yesterday' is no date or time.* write it as ISO 8601"),
        ("2026-03-18", "2026-13-18", "end '2026-13-18' is no date"),
        ("2026-03-18/2026-03-19", "2026-03-20", "no date or time"),
        ("0001-01-01T00:00:00+10:00", "2026-03-20", "start .* within the years 1 to 9999"),
        ("2026-03-18", "9999-12-31T23:59:59-10:00", "end .* within the years 1 to 9999"),
        (7, "2026-03-20", "no date or time"),
    ],
)
def test_a_wrong_interval_names_the_cure_in_one_line(start: Any, end: Any, cure: str) -> None:
    with pytest.raises(IntervalError, match=cure) as caught:
        Interval.parse(start, end)
    assert "\n" not in str(caught.value)
    assert not caught.value.retryable


def test_naive_datetimes_are_refused_where_utc_is_not_stated() -> None:
    with pytest.raises(IntervalError, match=r"start .* has no time zone; give UTC"):
        Interval(datetime(2026, 3, 18), END)  # noqa: DTZ001


def test_an_interval_that_is_not_over_is_refused() -> None:
    interval = Interval(START, END)
    interval.require_over(END)
    interval.require_over(END - timedelta(seconds=30))  # clocks differ
    for behind, can_be_tried_again in ((2, True), (59, True), (61, False), (10**6, False)):
        now = END - timedelta(minutes=behind)
        with pytest.raises(IntervalError, match=r"it is .*Z now, .* earlier end") as caught:
            interval.require_over(now)
        assert caught.value.retryable == can_be_tried_again
        assert str(now.date()) in str(caught.value)


def test_intervals_side_by_side_do_not_overlap() -> None:
    first, second = Interval(START - timedelta(days=1), START), Interval(START, END)
    assert not first.overlaps(second)
    assert not second.overlaps(first)
    assert Interval(first.start, END).overlaps(second)


@given(st.text() | st.datetimes().map(str), st.text() | st.datetimes().map(str))
def test_any_text_is_an_interval_or_an_interval_error(start: str, end: str) -> None:
    try:
        interval = Interval.parse(start, end)
    except IntervalError as error:
        message = str(error)
    else:
        message = str(interval)
        assert interval.start < interval.end
    assert "\n" not in message


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-03-16 10:00:00+00", datetime(2026, 3, 16, 10, tzinfo=UTC)),  # Postgres
        ("2026-03-16 10:00:00.5+05:30", datetime(2026, 3, 16, 4, 30, 0, 500_000, UTC)),
        ("2026-03-16T10:00:00.123456-08:00", datetime(2026, 3, 16, 18, 0, 0, 123_456, UTC)),
        ("2026-03-16T10:00:00.123456+0100", datetime(2026, 3, 16, 9, 0, 0, 123_456, UTC)),
        ("2026-03-16 10:00:00.123456", datetime(2026, 3, 16, 10, 0, 0, 123_456, UTC)),
        (" 2026-03-16t10:00:00.123456789z\n", datetime(2026, 3, 16, 10, 0, 0, 123_456, UTC)),
        ("2026-03-16 10:00:00.5 UTC", datetime(2026, 3, 16, 10, 0, 0, 500_000, UTC)),  # BigQuery
        ("2026-03-16T10:00:00Z[UTC]", datetime(2026, 3, 16, 10, tzinfo=UTC)),  # Java
        ("2026-03-16", datetime(2026, 3, 16, tzinfo=UTC)),
    ],
)
def test_a_moment_in_every_notation(text: str, moment: datetime) -> None:
    assert read_moment(text) == moment
    assert read_moment(text).tzinfo is UTC


@given(st.datetimes(timezones=st.timezones()) | st.datetimes(timezones=st.just(UTC)))
def test_every_moment_is_read_back(moment: datetime) -> None:
    try:
        utc = moment.astimezone(UTC)
    except OverflowError:
        return
    assert read_moment(moment.isoformat()) == utc


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        1773655200,
        "infinity",
        "0001-01-01T00:00:00+14:00",
        "2026-03-16T10:00:00+99:00",
        "Mon Mar 16 2026 15:30:00 GMT+0530 (India Standard Time)",
        "2026-03-16T10:00:00Z and more",
        "UTC",
        "2026-03-16T10:00:00+00:00 UTC",
        "10000-01-01T00:00:00Z",
    ],
    ids=repr,
)
def test_what_is_no_moment_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_moment(value)
