"""Makes a calendar: how much of each day is in the table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from airflow_provider_talkpilot.plugins.overview.layers import Layer, days_of
from airflow_provider_talkpilot.plugins.overview.outcomes import Outcome, State


class DayState(StrEnum):
    """How much of a day is in the table."""

    COMPLETE = "complete"  # calls and details
    SUMMARIES = "summaries"  # calls; the run did not request all details
    PARTIAL = "partial"  # some hours, or some agents
    NEVER = "never"  # never walked
    RUNNING = "running"  # a run works on it, and none has loaded it before
    STALE = "stale"  # an earlier run loaded it; the newest run failed
    FAILED = "failed"  # not loaded: the run failed
    ABSENT = "absent"  # of an agent that was not walked
    OPEN = "open"  # not over, so no run can walk it


# Of several states in one day, the page shows the first of these.
_WORST = (
    DayState.FAILED,
    DayState.STALE,
    DayState.RUNNING,
    DayState.PARTIAL,
    DayState.SUMMARIES,
    DayState.COMPLETE,
    DayState.NEVER,
    DayState.OPEN,
    DayState.ABSENT,
)
_LOADED = (DayState.COMPLETE, DayState.SUMMARIES)
_WALKED = (*_LOADED, DayState.STALE, DayState.PARTIAL)


@dataclass
class Day:
    """A day of one agent, or of a connection.

    :param outcome: the outcome that decides the state.
    :param before: for a stale day, the outcome that loaded it.
    :param walking: whether a run works on it.
    """

    day: date
    state: DayState = DayState.NEVER
    outcome: Outcome | None = None
    before: Outcome | None = None
    walking: bool = False


def calendar(
    days: Sequence[date], outcomes: Sequence[Outcome], agent: str | None = None
) -> list[Day]:
    """Find how much of each day is in the table.

    :param days: the days, in order, without gaps; the last is today.
    :param outcomes: of one connection, newest first.
    :param agent: the agent; None if the agents are unknown.
    """
    mine = [each for each in outcomes if _is_about(each, agent)]
    newest = Layer(days, (each for each in mine if each.state is not State.RUNNING))
    loaded = Layer(days, (each for each in mine if each.loaded))
    running: dict[date, Outcome] = {}
    for each in reversed(mine):
        if each.state is State.RUNNING:
            running |= dict.fromkeys(days_of(each, days), each)
    found = [_day(day, newest, loaded, running.get(day)) for day in days]
    if found[-1].state in (DayState.NEVER, DayState.PARTIAL):
        found[-1].state = DayState.OPEN
    return found


def _day(day: date, newest: Layer, loaded: Layer, running: Outcome | None) -> Day:
    found = Day(day, walking=running is not None)
    outcomes = [piece.outcome for piece in newest.pieces(day)]
    failed = [each for each in outcomes if each.state is State.FAILED]
    summaries = [each for each in outcomes if each.state is State.SUMMARIES]
    if failed:
        found.state, found.outcome = DayState.FAILED, failed[0]
        if loaded.is_whole(day):
            found.state, found.before = DayState.STALE, loaded.pieces(day)[0].outcome
    elif newest.is_whole(day) and summaries:
        found.state, found.outcome = DayState.SUMMARIES, summaries[0]
    elif newest.is_whole(day):
        found.state, found.outcome = DayState.COMPLETE, outcomes[0]
    elif running is not None:
        found.state, found.outcome = DayState.RUNNING, running
    elif outcomes:
        found.state, found.outcome = DayState.PARTIAL, outcomes[0]
    return found


def _is_about(outcome: Outcome, agent: str | None) -> bool:
    return agent is None or outcome.agents is None or agent in outcome.agents


def mark_absent(agents: Sequence[Sequence[Day]]) -> None:
    """Mark days before an agent's first walk and after its last as absent, not as gaps.

    :param agents: the calendar of each agent; days are changed.
    """
    walked = {day.day for days in agents for day in days if day.state in _WALKED}
    for days in agents:
        mine = [day.day for day in days if day.state in _WALKED]
        for day in days:
            before = not mine or day.day < mine[0]
            after = not mine or day.day > mine[-1]
            if (day.state is DayState.NEVER and day.day in walked and (before or after)) or (
                day.state is DayState.FAILED and mine and before
            ):
                day.state = DayState.ABSENT


def together(agents: Sequence[Sequence[Day]]) -> list[Day]:
    """Make the calendar of a connection: each day has the worst state of its agents.

    :param agents: the calendar of each agent, all with the same days; at least one.
    """
    return [_together(same_day) for same_day in zip(*agents, strict=True)]


def _together(agents: Sequence[Day]) -> Day:
    chosen = min(agents, key=lambda each: _WORST.index(each.state))
    state = chosen.state
    if state in _LOADED and any(each.state is DayState.NEVER for each in agents):
        state = DayState.PARTIAL
    walking = any(each.walking for each in agents)
    return Day(chosen.day, state, chosen.outcome, chosen.before, walking)
