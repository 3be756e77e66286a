"""Look-backs have no hole: whatever days were missed, each is read when its time has come."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pendulum
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from airflow_provider_talkpilot.api import Interval
from airflow_provider_talkpilot.api.errors import ConfigurationError
from airflow_provider_talkpilot.resync.choice import ResyncState
from airflow_provider_talkpilot.resync.look_backs import (
    LookBack,
    LookBacks,
    clipped,
    resync_end,
)

FIRST = date(2026, 3, 1)
ONE_DAY = timedelta(days=1)
THREE, MONTH, QUARTER = LookBacks().each


@st.composite
def look_backs(draw: st.DrawFn) -> LookBacks:
    """Any that are allowed: the longer, the rarer, and none rarer than it is long."""
    steps = draw(st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=1, max_size=5))
    each, days, every = [], 0, 0
    for more_days, more_every in steps:
        every += more_every
        days = max(days + more_days, every)
        each.append({"days": days, "every": every})
    return LookBacks.parse(json.dumps(draw(st.permutations(each))))


# Days since the run before, and whether the run got to its end.
histories = st.lists(st.tuples(st.integers(1, 40), st.booleans()), max_size=60)


@given(look_backs(), histories)
def test_one_is_read_when_its_time_has_come_and_not_before(
    given_ones: LookBacks, history: list[tuple[int, bool]]
) -> None:
    end, done = FIRST, str(ResyncState())
    reads: list[tuple[date, LookBack]] = []
    for days, succeeded in history:
        end += days * ONE_DAY
        waiting = []
        for one in given_ones.each:
            covers = [at for at, read in reads if read.days >= one.days]
            if not covers or end - covers[-1] >= one.every * ONE_DAY:
                waiting.append(one)
        chosen = given_ones.due(end, ResyncState.parse(done).look_backs)
        assert chosen == max(waiting, default=None), "the longest covers the others"
        if chosen and succeeded:
            reads.append((end, chosen))
            done = str(ResyncState(chosen.added_to(ResyncState.parse(done).look_backs, end)))


@given(look_backs(), st.data())
def test_a_change_arrives_within_the_days_of_its_look_back(
    given_ones: LookBacks, data: st.DataObject
) -> None:
    """A run every day: the promise in docs/resync.md."""
    one = data.draw(st.sampled_from(given_ones.each))
    start = datetime(2026, 3, 1, 6, tzinfo=UTC)
    read, reads = dict[int, date](), []
    for number in range(3 * given_ones.each[-1].every + 2):
        run_end = start + number * ONE_DAY
        end = resync_end(run_end)
        if chosen := given_ones.due(end, read):
            read = chosen.added_to(read, end)
            reads.append((run_end, chosen.interval(end)))
    since = timedelta(days=given_ones.each[-1].every)
    changed_at = start + data.draw(st.timedeltas(since, 2 * since))
    # Before that the call's day is the newest, which the daily DAG has just read.
    youngest = timedelta(days=1, hours=6)
    # An older one can leave the look-back before its turn comes.
    oldest = timedelta(days=one.days + 1 - one.every)
    assume(youngest <= oldest)
    call = changed_at - data.draw(st.timedeltas(youngest, oldest))
    assert any(
        changed_at < run_end <= changed_at + one.every * ONE_DAY and call in interval
        for run_end, interval in reads
    )


def test_the_default_month() -> None:
    """Of 30 days one reads 90, four read 30, the others three."""
    read, chosen = dict[int, date](), []
    for number in range(61):
        end = FIRST + number * ONE_DAY
        one = LookBacks().due(end, read)
        assert one is not None
        chosen.append(one)
        read = one.added_to(read, end)
    assert chosen[0] == chosen[30] == chosen[60] == QUARTER
    assert [n for n, one in enumerate(chosen[:30]) if one == MONTH] == [7, 14, 21, 28]
    assert chosen[:30].count(THREE) == 25


def test_what_is_kept_reads_back() -> None:
    read = QUARTER.added_to(THREE.added_to({}, FIRST), FIRST + ONE_DAY)
    read = MONTH.added_to(read, FIRST + 8 * ONE_DAY)
    read = THREE.added_to(read, FIRST + 9 * ONE_DAY)
    state = ResyncState(read)
    assert json.loads(str(state))["look_backs"] == {
        "3": "2026-03-10",
        "30": "2026-03-09",
        "90": "2026-03-02",
    }
    assert ResyncState.parse(str(state)) == state


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", "x", "null", "5", '{"look_backs": {"x": 1}}', '{"retention": "soon"}']
)
def test_of_what_cannot_be_read_nothing_is_known(text: str) -> None:
    """It costs requests to read too much; to read too little would cost the truth."""
    assert ResyncState.parse(text) == ResyncState()
    assert LookBacks().due(FIRST, ResyncState.parse(text).look_backs) == QUARTER


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("3 days", "Invalid JSON"),
        ("[]", "at least 1 item"),
        ("[3]", "0: Input should be an object"),
        ('[{"days": 3, "every": 1, "week": 1}]', "0.week: Unexpected"),
        ('[{"days": "3", "every": 1}]', "0.days: Input should be a valid integer"),
        ('[{"days": 3, "every": 7}]', "never read the days between"),
    ],
)
def test_no_look_backs(text: str, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says) as caught:
        LookBacks.parse(text)
    assert not caught.value.retryable
    assert "in the Variable talkpilot_resync_look_backs)" in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    "run_end",
    [
        datetime(2026, 3, 20, 6, tzinfo=UTC),
        datetime(2026, 3, 20, tzinfo=UTC),
        pendulum.datetime(2026, 3, 21, 8, tz="Asia/Tokyo"),
    ],
)
def test_the_newest_day_is_left_to_the_daily_dag(run_end: Any) -> None:
    assert resync_end(run_end) == date(2026, 3, 19)
    assert THREE.interval(resync_end(run_end)) == Interval.parse("2026-03-16", "2026-03-19")


@pytest.mark.parametrize(
    ("earliest", "start"),
    [
        (datetime(2026, 1, 1, tzinfo=UTC), "2026-03-16"),
        (datetime(2026, 3, 17, 23, tzinfo=UTC), "2026-03-17"),
        (datetime(2026, 3, 18, tzinfo=UTC), "2026-03-18"),
        (datetime(2026, 3, 19, tzinfo=UTC), None),
    ],
)
def test_no_history_is_loaded(earliest: datetime, start: str | None) -> None:
    found = clipped(THREE.interval(date(2026, 3, 19)), earliest)
    assert found == (Interval.parse(start, "2026-03-19") if start else None)
