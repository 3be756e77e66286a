"""Retention: every day is read in time after TalkPilot purged it, and hardly ever twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_talkpilot.api import Agent, Interval
from airflow_provider_talkpilot.resync.choice import ResyncState
from airflow_provider_talkpilot.resync.retention import (
    DEFAULT_DAYS,
    Reading,
    Watched,
    Window,
    readings,
    retentions,
)

FIRST = date(2026, 3, 1)
ONE_DAY = timedelta(days=1)
A, B, C = (f"{letter * 8}-0000-4000-8000-000000000001" for letter in "abc")
LATEST_JOB = timedelta(hours=24)
Day = tuple[str, date]


def six(day: date) -> datetime:
    return datetime.combine(day, time(6), UTC)


def midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


@dataclass
class World:
    """TalkPilot with agents whose retention changes, the table, and runs of the re-sync.

    :param retention: for each day of the world, days by agent.
    :param late: how late TalkPilot's own job is, by agent and day of the calls.
    :param empty: agents and days without calls.
    """

    retention: Sequence[Mapping[str, int]]
    late: Mapping[Day, timedelta] = field(default_factory=dict)
    empty: frozenset[Day] = frozenset()
    state: str = ""
    purged: dict[Day, datetime] = field(default_factory=dict)  # at TalkPilot
    in_table: set[Day] = field(default_factory=set)  # purges that arrived
    read: Counter[Day] = field(default_factory=Counter)
    intervals: list[list[Reading]] = field(default_factory=list)

    def days_before(self, today: date) -> list[Day]:
        count = (today - FIRST).days
        every = [(agent, FIRST + n * ONE_DAY) for n in range(count) for agent in self.retention[0]]
        return [each for each in every if each not in self.empty]

    def is_due(self, day: Day, today: date) -> bool:
        """Whether all calls of a day are as old as their retention."""
        days = self.retention[(today - FIRST).days][day[0]]
        return day[1] + ONE_DAY + days * ONE_DAY <= today

    def midnight_job(self, today: date) -> None:
        """TalkPilot finds what is old enough; it purges it some hours later."""
        for day in self.days_before(today):
            if day not in self.purged and self.is_due(day, today):
                self.purged[day] = midnight(today) + self.late.get(day, timedelta())

    def run(self, today: date) -> list[Reading]:
        """A run that gets to its end."""
        state = ResyncState.parse(self.state)
        retention = self.retention[(today - FIRST).days]
        windows = state.retention.windows(retention, today)
        unpurged = [
            (agent, day)
            for agent, day in self.days_before(today)
            if (agent, day) not in self.in_table
            and any(agent in w.agents and w.first <= day < w.end for w in windows)
        ]
        found = readings(windows, unpurged, covered=None)
        for reading in found:
            for day in self.days_before(today):
                if day[0] in (reading.agents or ()) and midnight(day[1]) in reading.interval:
                    self.read[day] += 1
                    if day in self.purged and self.purged[day] <= six(today):
                        self.in_table.add(day)
        self.state = str(ResyncState({}, state.retention.after(retention, today)))
        self.intervals.append(found)
        return found


@st.composite
def worlds(draw: st.DrawFn, days: int = 24) -> World:
    """Three agents whose retention changes at any time, to any length."""
    retention = [dict.fromkeys((A, B, C), draw(st.integers(1, 12)))]
    for _ in range(days):
        changed = draw(
            st.dictionaries(st.sampled_from((A, B, C)), st.integers(1, 40), max_size=1)
            if draw(st.integers(0, 3)) == 0
            else st.just({})
        )
        retention.append(retention[-1] | changed)
    each = st.tuples(
        st.sampled_from((A, B, C)),
        st.integers(0, days).map(lambda n: FIRST + n * ONE_DAY),
    )
    late = draw(st.dictionaries(each, st.timedeltas(timedelta(), LATEST_JOB), max_size=30))
    return World(retention, late, draw(st.frozensets(each, max_size=20)))


@pytest.mark.slow
@settings(max_examples=150)
@given(worlds(), st.data())
def test_a_purge_arrives_with_the_first_run_after_it(world: World, data: st.DataObject) -> None:
    """Whatever runs were missed: the promise in docs/resync.md."""
    ran: list[date] = []
    due: dict[Day, date] = {}  # the day of the first run that could know
    for number in range(len(world.retention)):
        today = FIRST + number * ONE_DAY
        world.midnight_job(today)
        if not data.draw(st.booleans() | st.just(True)):
            continue
        before = world.read.copy()
        world.run(today)
        ran.append(today)
        for day in world.days_before(today):
            if world.is_due(day, today):
                due.setdefault(day, today)
            if day in due and day in world.purged and world.purged[day] <= six(today):
                assert day in world.in_table, f"{day} on {today}"
            read = world.read[day] - before[day]
            assert read <= 1, "once in a run"
            assert not read or day in due, "not before it is due"
    longer = Counter(
        agent
        for earlier, later in zip(world.retention, world.retention[1:], strict=False)
        for agent in earlier
        if later[agent] > earlier[agent]
    )
    for day, times in world.read.items():
        assert times <= 2 * (1 + longer[day[0]])


def steady(days: int, retention: Mapping[str, int], **world: object) -> World:
    return World([retention] * (days + 1), **world)  # type: ignore[arg-type]


def run_every_day(world: World, *, without: range = range(0)) -> list[list[str]]:
    """The intervals of each run, as texts."""
    told = []
    for number in range(len(world.retention)):
        today = FIRST + number * ONE_DAY
        world.midnight_job(today)
        if number in without:
            continue
        found = world.run(today)
        told.append(
            [f"{r.interval.start:%d}-{r.interval.end:%d} {len(r.agents or ())}" for r in found]
        )
    return told


@pytest.mark.parametrize(("hours", "times"), [(5, 1), (7, 2), (24, 2)])
def test_where_talkpilots_job_is_late_a_day_is_read_again_the_next_day(
    hours: int, times: int
) -> None:
    world = steady(6, {A: 2}, late={(A, FIRST): timedelta(hours=hours)})
    run_every_day(world)
    assert world.read[A, FIRST] == times
    assert (A, FIRST) in world.in_table


def test_a_second_run_on_the_same_day_is_no_second_chance() -> None:
    """TalkPilot's job may not have run between the two."""
    world = steady(6, {A: 2}, late={(A, FIRST): timedelta(hours=20)})
    for number in range(4):
        world.midnight_job(FIRST + number * ONE_DAY)
    for number in (3, 3, 4):
        world.midnight_job(FIRST + number * ONE_DAY)
        world.run(FIRST + number * ONE_DAY)
    assert (A, FIRST) in world.in_table


def test_what_a_look_back_reads_anyway_is_not_read_twice() -> None:
    window = Window(date.min, FIRST + 5 * ONE_DAY, (A,))
    unpurged = [(A, FIRST + n * ONE_DAY) for n in range(5)]
    covered = Interval.parse("2026-03-03", "2026-03-20")
    found = readings([window], unpurged, covered)
    assert found == [Reading(Interval.parse("2026-03-01", "2026-03-03"), [A])]


def test_a_window_is_one_interval() -> None:
    """Of a table that was closed on every second day, after a long time without a run."""
    window = Window(date.min, FIRST + 100 * ONE_DAY, (A, B))
    unpurged = [(A, FIRST), (B, FIRST + 2 * ONE_DAY), (A, FIRST + 4 * ONE_DAY)]
    [one] = readings([window], unpurged, None)
    assert one == Reading(Interval.parse("2026-03-01", "2026-03-06"), [A, B])


@pytest.mark.parametrize(
    ("given_value", "days"),
    [
        (30, 30),
        (None, DEFAULT_DAYS),
        ("absent", DEFAULT_DAYS),
        ([30], DEFAULT_DAYS),
        (30.5, DEFAULT_DAYS),
        (" 31 ", 31),
        (-5, 1),
        (10**12, 36_500),
    ],
)
def test_retention_as_the_agents_list_tells_it(
    given_value: object, days: int, caplog: pytest.LogCaptureFixture
) -> None:
    """A value that does not fit stops no run, and is told once."""
    fields = {} if given_value == "absent" else {"retention_days": given_value}
    agents = [Agent.read({"id": id_, "organization_id": 7, **fields}) for id_ in (A, B)]
    assert retentions(agents) == {A: days, B: days}
    assert agents[0].organization_id is None
    is_unreadable = days == DEFAULT_DAYS and given_value not in (None, "absent")
    assert [r.getMessage()[:29] for r in caplog.records] == (
        ["retention_days of 2 agent(s),"] if is_unreadable else []
    )
    Watched().windows({A: days}, FIRST)
