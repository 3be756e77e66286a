"""By retention every day is read in time after TalkPilot purged it, and hardly ever twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_talkpilot.api import Agent, Interval
from airflow_provider_talkpilot.resync.days import (
    DEFAULT_RETENTION,
    ChosenInterval,
    ResyncState,
    RetentionState,
    choose_intervals,
    later_state,
    retention_by_agent,
)
from airflow_provider_talkpilot.resync.look_backs import LookBack

FIRST = date(2026, 3, 1)
ONE_DAY = timedelta(days=1)
AGENTS = A, B, C = [f"{letter * 8}-0000-4000-8000-000000000001" for letter in "abc"]
LATEST_JOB = timedelta(hours=24)
Day = tuple[str, date]


def at(day: date, hour: int) -> datetime:
    return datetime.combine(day, time(hour), UTC)


@dataclass
class World:
    """TalkPilot with agents whose retention changes, the table, and runs of the re-sync.

    :param retention: for each day of the world, the retention in days by agent.
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

    def days_before(self, today: date) -> list[Day]:
        """The agents and days that have calls."""
        count = (today - FIRST).days
        days = [(agent, FIRST + n * ONE_DAY) for n in range(count) for agent in self.retention[0]]
        return [day for day in days if day not in self.empty]

    def is_due(self, day: Day, today: date) -> bool:
        """Whether all calls of a day are as old as their retention."""
        days = self.retention[(today - FIRST).days][day[0]]
        return day[1] + ONE_DAY + days * ONE_DAY <= today

    def midnight_job(self, today: date) -> None:
        """TalkPilot finds what is old enough; it purges it some hours later."""
        for day in self.days_before(today):
            if day not in self.purged and self.is_due(day, today):
                self.purged[day] = at(today, 0) + self.late.get(day, timedelta())

    def run(self, today: date) -> None:
        """A run at six in the morning that succeeds."""

        def unpurged(due: Mapping[Interval, Sequence[str]]) -> Iterable[Day]:
            for day in self.days_before(today):
                if day not in self.in_table and _holds(due.items(), day):
                    yield day

        chosen, state = choose_intervals(
            today,
            [],
            ResyncState.parse(self.state),
            agents=None,
            retention=self.retention[(today - FIRST).days],
            earliest=FIRST,
            unpurged_days=unpurged,
        )
        for day in self.days_before(today):
            if _holds(((each.interval, each.agents or ()) for each in chosen), day):
                self.read[day] += 1
                if day in self.purged and self.purged[day] <= at(today, 6):
                    self.in_table.add(day)
        self.state = str(state)


def _holds(intervals: Iterable[tuple[Interval, Sequence[str]]], day: Day) -> bool:
    return any(day[0] in agents and at(day[1], 0) in interval for interval, agents in intervals)


@st.composite
def worlds(draw: st.DrawFn, days: int = 24) -> World:
    """Three agents whose retention changes at any time, to any length."""
    retention = [dict.fromkeys(AGENTS, draw(st.integers(1, 12)))]
    for _ in range(days):
        changed = draw(
            st.dictionaries(st.sampled_from(AGENTS), st.integers(1, 40), max_size=1)
            if draw(st.integers(0, 3)) == 0
            else st.just({})
        )
        retention.append(retention[-1] | changed)
    some_days = st.tuples(
        st.sampled_from(AGENTS), st.integers(0, days).map(lambda n: FIRST + n * ONE_DAY)
    )
    late = draw(st.dictionaries(some_days, st.timedeltas(timedelta(), LATEST_JOB), max_size=30))
    return World(retention, late, draw(st.frozensets(some_days, max_size=20)))


@pytest.mark.slow
@settings(max_examples=150)
@given(worlds(), st.data())
def test_a_purge_arrives_with_the_first_run_after_it(world: World, data: st.DataObject) -> None:
    """Also after missed runs: the promise in docs/resync.md."""
    due: dict[Day, date] = {}  # the day of the first run that could know
    for number in range(len(world.retention)):
        today = FIRST + number * ONE_DAY
        world.midnight_job(today)
        if not data.draw(st.booleans() | st.just(True)):
            continue
        before = world.read.copy()
        world.run(today)
        for day in world.days_before(today):
            if world.is_due(day, today):
                due.setdefault(day, today)
            if day in due and day in world.purged and world.purged[day] <= at(today, 6):
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


@pytest.mark.parametrize(
    ("hours_late", "runs", "times"),
    [
        (5, range(7), 1),
        (7, range(7), 2),
        (24, range(7), 2),
        # TalkPilot's job may not have run between two runs of one day.
        (20, (3, 3, 4), 3),
    ],
)
def test_if_talkpilots_job_is_late_a_day_is_read_again_the_next_day(
    hours_late: int, runs: Sequence[int], times: int
) -> None:
    world = World([{A: 2}] * 7, late={(A, FIRST): timedelta(hours=hours_late)})
    for number in range(7):
        world.midnight_job(FIRST + number * ONE_DAY)
    for number in runs:
        world.run(FIRST + number * ONE_DAY)
    assert world.read[A, FIRST] == times
    assert (A, FIRST) in world.in_table


def test_nothing_is_due_while_the_retention_grows_faster_than_days_go_by() -> None:
    world = World([{A: days} for days in (1, 1, 1, 1, 10, 20)])
    for number in range(6):
        world.run(FIRST + number * ONE_DAY)
    assert world.read == {(A, FIRST): 2, (A, FIRST + ONE_DAY): 2}


def test_a_cleared_run_of_long_ago_takes_nothing_back() -> None:
    old, new = (str(ResyncState(retention=RetentionState(FIRST + n * ONE_DAY))) for n in (0, 30))
    assert later_state(old, new) == later_state(new, old) == later_state(new, "") == new


def test_agents_with_the_same_days_due_share_an_interval_beside_the_look_back() -> None:
    """From the first to the last day with calls to purge, without what the look-back reads."""
    unpurged = [(A, FIRST), (B, FIRST + 2 * ONE_DAY), *((A, FIRST + n * ONE_DAY) for n in (4, 9))]
    chosen, _ = choose_intervals(
        FIRST + 20 * ONE_DAY,
        [LookBack(10, 1)],
        ResyncState(),
        agents=None,
        retention={A: 8, B: 8, C: 9},
        earliest=FIRST,
        unpurged_days=lambda _: unpurged,
    )
    assert chosen == [
        ChosenInterval(Interval.parse("2026-03-01", "2026-03-06"), [A, B], "retention"),
        ChosenInterval(Interval.parse("2026-03-10", "2026-03-20"), None, "look-back of 10 day(s)"),
    ]


@pytest.mark.parametrize(
    ("sent", "days"),
    [
        (30, 30),
        (None, DEFAULT_RETENTION),
        ("absent", DEFAULT_RETENTION),
        ([30], DEFAULT_RETENTION),
        (30.5, DEFAULT_RETENTION),
        (True, DEFAULT_RETENTION),
        (" 31 ", 31),
        (0, 1),
        (-5, 1),
        (10**12, 36_500),
        (10**30, DEFAULT_RETENTION),  # more than BigQuery can hold
    ],
)
def test_retention_as_the_agents_list_has_it(
    sent: object, days: int, caplog: pytest.LogCaptureFixture
) -> None:
    """A value that does not fit stops no run, and is logged once."""
    fields = {} if sent == "absent" else {"retention_days": sent}
    agents = [Agent.read({"id": id_, "organization_id": 7, **fields}) for id_ in (A, B)]
    assert retention_by_agent(agents) == {A: days, B: days}
    assert agents[0].organization_id is None
    is_unreadable = days == DEFAULT_RETENTION and sent not in (None, "absent")
    assert [r.getMessage()[:29] for r in caplog.records] == (
        ["retention_days of 2 agent(s),"] if is_unreadable else []
    )
    ResyncState().retention.due({A: days}, FIRST)
