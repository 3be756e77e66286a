"""The ladder has no hole: whatever days were missed, each rung is read when its time has come."""

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
from airflow_provider_talkpilot.operators.ladder import Done, Ladder, Rung, clipped, resync_end

FIRST = date(2026, 3, 1)
ONE_DAY = timedelta(days=1)
NOTHING = Done({})
THREE, MONTH, HALF_YEAR = Ladder().rungs


@st.composite
def ladders(draw: st.DrawFn) -> Ladder:
    """Any that is allowed: the longer, the rarer, and none rarer than it is long."""
    steps = draw(st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=1, max_size=5))
    rungs, days, every = [], 0, 0
    for more_days, more_every in steps:
        every += more_every
        days = max(days + more_days, every)
        rungs.append({"days": days, "every": every})
    return Ladder.parse(json.dumps(draw(st.permutations(rungs))))


# Days since the run before, and whether the run got to its end.
histories = st.lists(st.tuples(st.integers(1, 40), st.booleans()), max_size=60)


@given(ladders(), histories)
def test_a_rung_is_read_when_its_time_has_come_and_not_before(
    ladder: Ladder, history: list[tuple[int, bool]]
) -> None:
    end, done = FIRST, str(NOTHING)
    reads: list[tuple[date, Rung]] = []
    for days, succeeded in history:
        end += days * ONE_DAY
        waiting = []
        for rung in ladder.rungs:
            covers = [at for at, read in reads if read.days >= rung.days]
            if not covers or end - covers[-1] >= rung.every * ONE_DAY:
                waiting.append(rung)
        chosen = ladder.due(end, Done.parse(done))
        assert chosen == max(waiting, default=None), "the longest covers the others"
        if chosen and succeeded:
            reads.append((end, chosen))
            done = str(Done.parse(done).with_rung(chosen, end))


@given(ladders(), st.data())
def test_a_change_arrives_within_the_days_of_its_rung(ladder: Ladder, data: st.DataObject) -> None:
    """A run every day: the promise in docs/resync.md."""
    rung = data.draw(st.sampled_from(ladder.rungs))
    start = datetime(2026, 3, 1, 6, tzinfo=UTC)
    done, reads = NOTHING, []
    for number in range(3 * ladder.rungs[-1].every + 2):
        run_end = start + number * ONE_DAY
        end = resync_end(run_end)
        if chosen := ladder.due(end, done):
            done = done.with_rung(chosen, end)
            reads.append((run_end, chosen.interval(end)))
    since = timedelta(days=ladder.rungs[-1].every)
    changed_at = start + data.draw(st.timedeltas(since, 2 * since))
    # Before that the call's day is the newest, which the daily DAG has just read.
    youngest = timedelta(days=1, hours=6)
    oldest = timedelta(days=rung.sure_age)
    assume(youngest <= oldest)
    call = changed_at - data.draw(st.timedeltas(youngest, oldest))
    assert any(
        changed_at < run_end <= changed_at + rung.every * ONE_DAY and call in interval
        for run_end, interval in reads
    )


def test_the_default_month() -> None:
    """Of 30 days one reads 180, four read 30, the others three."""
    done, chosen = NOTHING, []
    for number in range(61):
        end = FIRST + number * ONE_DAY
        rung = Ladder().due(end, done)
        assert rung is not None
        chosen.append(rung)
        done = done.with_rung(rung, end)
    assert chosen[0] == chosen[30] == chosen[60] == HALF_YEAR
    assert [n for n, rung in enumerate(chosen[:30]) if rung == MONTH] == [7, 14, 21, 28]
    assert chosen[:30].count(THREE) == 25


def test_the_same_day_again_and_earlier_days_are_not_due() -> None:
    done = NOTHING.with_rung(HALF_YEAR, FIRST)
    assert Ladder().due(FIRST, done) is None
    assert Ladder().due(FIRST - 200 * ONE_DAY, done) is None
    assert Ladder().due(FIRST + ONE_DAY, done) == THREE


def test_another_ladder_starts_from_what_was_read() -> None:
    done = NOTHING.with_rung(MONTH, FIRST)
    longer = Ladder.parse('[{"days": 20, "every": 5}, {"days": 40, "every": 10}]')
    assert longer.due(FIRST + ONE_DAY, done) == Rung(40, 10), "40 days were never read"
    shorter = Ladder.parse('[{"days": 20, "every": 5}]')
    assert shorter.due(FIRST + 4 * ONE_DAY, done) is None
    assert shorter.due(FIRST + 5 * ONE_DAY, done) == Rung(20, 5)


def test_what_is_kept_is_short_and_readable() -> None:
    done = NOTHING.with_rung(THREE, FIRST).with_rung(HALF_YEAR, FIRST + ONE_DAY)
    done = done.with_rung(MONTH, FIRST + 8 * ONE_DAY).with_rung(THREE, FIRST + 9 * ONE_DAY)
    assert str(done) == '{"3":"2026-03-10","30":"2026-03-09","180":"2026-03-02"}'
    assert Done.parse(str(done)) == done


@pytest.mark.parametrize("text", ["", "{}", "[]", "x", "null", "5", '{"x": 1}', '{"3": "soon"}'])
def test_of_what_cannot_be_read_nothing_is_known(text: str) -> None:
    """It costs requests to read too much; to read too little would cost the truth."""
    assert Done.parse(text) == NOTHING
    assert Ladder().due(FIRST, Done.parse(text)) == HALF_YEAR


@pytest.mark.parametrize("text", ["", "  \n"])
def test_the_default_ladder(text: str) -> None:
    assert Ladder.parse(text).rungs == (Rung(3, 1), Rung(30, 7), Rung(180, 30))


def test_the_order_of_rungs_makes_no_difference() -> None:
    assert Ladder.parse('[{"days": 9, "every": 3}, {"days": 2, "every": 1}]').rungs == (
        Rung(2, 1),
        Rung(9, 3),
    )


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("3 days", "Invalid JSON"),
        ("{}", "valid array"),
        ("null", "valid array"),
        ("[]", "is empty. To turn the re-sync off, pause the DAG"),
        ("[3]", "0: Input should be an object"),
        ('[{"days": 3}]', "0.every: Field required"),
        ('[{"days": 3, "every": 1, "week": 1}]', "0.week: Unexpected"),
        ('[{"days": 0, "every": 1}]', "0.days: Input should be greater"),
        ('[{"days": 3, "every": -1}]', "0.every: Input should be greater"),
        ('[{"days": 3.5, "every": 1}]', "0.days: Input should be a valid integer"),
        ('[{"days": "3", "every": 1}]', "0.days: Input should be a valid integer"),
        ('[{"days": true, "every": 1}]', "0.days: Input should be a valid integer"),
        ('[{"days": 3651, "every": 1}]', "0.days: Input should be less"),
        ('[{"days": 3, "every": 1}, {"days": 3, "every": 2}]', "names 3 days twice"),
        ('[{"days": 3, "every": 7}]', r"reads 3 day\(s\) every 7 .* never the days between"),
        (
            '[{"days": 30, "every": 1}, {"days": 3, "every": 2}]',
            r"reads 30 day\(s\) every 1 .* leaves nothing to do for 3 day\(s\) every 2",
        ),
        (
            '[{"days": 30, "every": 2}, {"days": 3, "every": 2}]',
            r"reads 30 day\(s\) every 2 .* leaves nothing to do for 3 day\(s\) every 2",
        ),
        (
            json.dumps([{"days": 10 + n, "every": n} for n in range(1, 12)]),
            "has 11 rungs, and at most 10",
        ),
    ],
)
def test_no_ladder(text: str, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says) as caught:
        Ladder.parse(text)
    assert not caught.value.retryable
    assert str(caught.value).endswith("in the Variable talkpilot_resync_ladder).")
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    "run_end",
    [
        datetime(2026, 3, 20, 6, tzinfo=UTC),
        datetime(2026, 3, 20, tzinfo=UTC),
        datetime(2026, 3, 20, 23, 59, tzinfo=UTC),
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
        (datetime(2026, 3, 16, 0, 0, 1, tzinfo=UTC), "2026-03-16"),
        (datetime(2026, 3, 17, 23, tzinfo=UTC), "2026-03-17"),
        (datetime(2026, 3, 18, tzinfo=UTC), "2026-03-18"),
        (datetime(2026, 3, 19, tzinfo=UTC), None),
    ],
)
def test_no_history_is_loaded(earliest: datetime, start: str | None) -> None:
    found = clipped(THREE.interval(date(2026, 3, 19)), earliest)
    assert found == (Interval.parse(start, "2026-03-19") if start else None)
