"""Look-backs skip no day: after missed or failed runs, each is read as soon as it is due."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from airflow_provider_talkpilot.api import Interval
from airflow_provider_talkpilot.api.errors import ConfigurationError
from airflow_provider_talkpilot.resync.days import ResyncState
from airflow_provider_talkpilot.resync.look_backs import (
    DEFAULT,
    LookBack,
    days_to_read,
    longest_due,
    parse_look_backs,
    read_after,
    resync_end,
)

FIRST = date(2026, 3, 1)
ONE_DAY = timedelta(days=1)
THREE, MONTH, QUARTER = DEFAULT


@st.composite
def some_look_backs(draw: st.DrawFn) -> tuple[LookBack, ...]:
    """Look-backs that users may choose: the longer, the rarer, none rarer than it is long."""
    steps = draw(st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=1, max_size=5))
    written, days, every = [], 0, 0
    for more_days, more_every in steps:
        every += more_every
        days = max(days + more_days, every)
        written.append({"days": days, "every": every})
    return parse_look_backs(json.dumps(draw(st.permutations(written))))


# Days since the run before, and whether the run succeeded.
histories = st.lists(st.tuples(st.integers(1, 40), st.booleans()), max_size=60)


@given(some_look_backs(), histories)
def test_a_look_back_is_read_when_it_is_due_and_not_before(
    look_backs: tuple[LookBack, ...], history: list[tuple[int, bool]]
) -> None:
    end, read = FIRST, dict[int, date]()
    runs: list[tuple[date, LookBack]] = []
    for days, succeeded in history:
        end += days * ONE_DAY
        due = []
        for look_back in look_backs:
            ends = [run_end for run_end, chosen in runs if chosen.days >= look_back.days]
            if not ends or end - ends[-1] >= look_back.every * ONE_DAY:
                due.append(look_back)
        chosen = longest_due(look_backs, end, read)
        assert chosen == max(due, default=None), "the longest covers the others"
        if chosen and succeeded:
            runs.append((end, chosen))
            read = read_after(chosen, end, read)


@given(some_look_backs(), st.data())
def test_a_change_arrives_within_the_days_of_its_look_back(
    look_backs: tuple[LookBack, ...], data: st.DataObject
) -> None:
    """The promise in docs/resync.md, also after missed runs."""
    look_back = data.draw(st.sampled_from(look_backs))
    read, runs = dict[int, date](), list[tuple[datetime, Interval | None]]()
    run_end, late = datetime(2026, 3, 1, 6, tzinfo=UTC), data.draw(st.integers(1, 60))
    since = timedelta(days=look_backs[-1].every)
    changed_at = run_end + data.draw(st.timedeltas(since, 2 * since))
    while not runs or runs[-1][0] < changed_at + look_back.every * ONE_DAY:
        end = resync_end(run_end.date())
        chosen = longest_due(look_backs, end, read)
        days = days_to_read(chosen, look_backs, end, read) if chosen else None
        read = read_after(chosen, end, read) if chosen else read
        runs.append((run_end, days))
        run_end += data.draw(st.sampled_from((1, late))) * ONE_DAY
    # A younger call is of the newest day, which the daily DAG has just read.
    youngest = timedelta(days=1, hours=6)
    # An older call can leave the look-back before its turn comes.
    oldest = timedelta(days=look_back.days + 1 - look_back.every)
    assume(youngest <= oldest)
    created_at = changed_at - data.draw(st.timedeltas(youngest, oldest))
    assert any(changed_at < at and days and created_at in days for at, days in runs)


def test_the_default_month() -> None:
    """Of 30 runs one reads 90 days, four read 30, the others three."""
    read, chosen = dict[int, date](), []
    for number in range(61):
        end = FIRST + number * ONE_DAY
        look_back = longest_due(DEFAULT, end, read)
        assert look_back is not None
        chosen.append(look_back)
        read = read_after(look_back, end, read)
    assert chosen[0] == chosen[30] == chosen[60] == QUARTER
    assert [n for n, each in enumerate(chosen[:30]) if each == MONTH] == [7, 14, 21, 28]
    assert chosen[:30].count(THREE) == 25


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", "x", "null", "5", '{"look_backs": {"x": 1}}', '{"retention": "soon"}']
)
def test_after_an_unreadable_state_everything_is_due(text: str) -> None:
    """Reading too much costs requests; reading too little would miss changes."""
    assert ResyncState.parse(text) == ResyncState()
    assert longest_due(DEFAULT, FIRST, {}) == QUARTER


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("3 days", "Invalid JSON"),
        ("[]", "at least 1 item"),
        ("[3]", "0: Input should be an object"),
        ('[{"days": 3, "every": 1, "week": 1}]', "0.week: Unexpected"),
        ('[{"days": "3", "every": 1}]', "0.days: Input should be a valid integer"),
        ('[{"days": 3, "every": 7}]', "never read the days between"),
    ],
)
def test_wrong_look_backs_are_named_with_the_cure(text: str, reason: str) -> None:
    with pytest.raises(ConfigurationError, match=reason) as caught:
        parse_look_backs(text)
    assert not caught.value.retryable
    assert "in the Variable talkpilot_resync_look_backs)" in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
