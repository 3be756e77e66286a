"""Where a long list is cut: nothing is lost between two slices, and none is too short."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_talkpilot.api import Interval
from airflow_provider_talkpilot.staging.extract.walker import SHORTEST, slices_of

START = datetime(2026, 3, 16, tzinfo=UTC)
HALF_A_YEAR = Interval(START, START + timedelta(days=180))

intervals = st.builds(
    lambda start, length: Interval(start, start + length),
    st.timedeltas(timedelta(0), timedelta(days=3650)).map(lambda after: START + after),
    st.timedeltas(timedelta(microseconds=1), timedelta(days=400)),
)


@given(intervals, st.integers(0, 10_000_000))
def test_the_slices_are_the_whole_interval(interval: Interval, total: int) -> None:
    slices = slices_of(interval, total, 100)
    assert (slices[0].start, slices[-1].end) == (interval.start, interval.end)
    assert all(one.end == following.start for one, following in pairwise(slices))
    if total <= 10_000 or interval.end - interval.start < 2 * SHORTEST:
        assert slices == [interval]
    else:
        lengths = [piece.end - piece.start for piece in slices]
        assert len(slices) > 1
        assert max(lengths) - min(lengths) <= timedelta(seconds=2)
        assert min(lengths) > SHORTEST - timedelta(seconds=1)


@pytest.mark.parametrize(
    ("total", "pages", "slices"),
    [(0, 100, 1), (10**4, 100, 1), (10_001, 100, 3), (900_000, 100, 180), (400, 4, 1), (401, 4, 3)],
)
def test_a_slice_has_about_half_the_pages_of_a_walk(total: int, pages: int, slices: int) -> None:
    assert len(slices_of(HALF_A_YEAR, total, pages)) == slices


def test_cuts_are_at_whole_days_where_they_can_be() -> None:
    assert slices_of(HALF_A_YEAR, 900_000, 100)[1] == Interval.parse("2026-03-17", "2026-03-18")
