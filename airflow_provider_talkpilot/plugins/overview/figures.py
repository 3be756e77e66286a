"""Counts the calls and details of each day, from the walks that cover it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date

from airflow_provider_talkpilot.plugins.overview.layers import DAY, Layer, Piece, midnight
from airflow_provider_talkpilot.plugins.overview.outcomes import Outcome, State


@dataclass(frozen=True)
class Figures:
    """The calls of a day that are in the table.

    :param details: how many of them have a detail.
    """

    calls: int
    details: int

    def __add__(self, other: Figures) -> Figures:
        return Figures(self.calls + other.calls, self.details + other.details)


def of_connection(days: Sequence[date], outcomes: Sequence[Outcome]) -> dict[date, Figures]:
    """Count the calls of a connection.

    :param days: the days, in order, without gaps.
    :param outcomes: of the connection, newest first.
    :return: figures by day, of days with known figures.
    """
    usable = [each for each in outcomes if each.calls_loaded and _has_days(each)]
    # A run that has not loaded its details takes away none that an earlier run has loaded.
    usable.sort(key=lambda each: not each.loaded)
    by_agents = {
        agents: _add_up(
            Layer(days, (each for each in usable if each.selected_agents == agents)), days
        )
        for agents in {each.selected_agents for each in usable}
    }
    # Walks of every agent have all calls. Others are added up, those of the most agents first; not
    # those that share an agent, whose calls would count twice.
    found = by_agents.pop(None, {})
    largest_first = sorted(by_agents.items(), key=lambda item: -len(item[0] or ""))
    for day in [day for day in days if day not in found]:
        counted = set[str]()
        for selected, figures in largest_first:
            agents = (selected or "").split(",")
            if day in figures and counted.isdisjoint(agents):
                counted.update(agents)
                found[day] = found.get(day, Figures(0, 0)) + figures[day]
    return found


def of_agent(days: Sequence[date], outcomes: Sequence[Outcome], agent: str) -> dict[date, Figures]:
    """Count the calls of one agent. Walks of several days have no figures by agent and day."""
    usable = [each for each in outcomes if each.calls_loaded and agent in each.by_agent]
    layer = Layer(days, (each for each in usable if _is_within_a_day(each)))
    return _add_up(layer, days, agent)


def _add_up(layer: Layer, days: Sequence[date], agent: str | None = None) -> dict[date, Figures]:
    found = {}
    for day in days:
        pieces = layer.pieces(day)
        if any(piece.is_clipped for piece in pieces):
            pieces = _apart(pieces)
        if pieces:
            figures = [_figures(piece.outcome, day, agent) for piece in pieces]
            found[day] = sum(figures[1:], figures[0])
    return found


def _apart(pieces: Sequence[Piece]) -> list[Piece]:
    """Leave out walks that overlap a longer or newer one: calls of both would count twice."""
    found = list[Piece]()
    for piece in sorted(pieces, key=lambda p: p.outcome.end - p.outcome.start, reverse=True):
        start, end = piece.outcome.start, piece.outcome.end
        if all(end <= each.outcome.start or each.outcome.end <= start for each in found):
            found.append(piece)
    return found


def _figures(outcome: Outcome, day: date, agent: str | None) -> Figures:
    within = _is_within_a_day(outcome)
    if agent is not None:
        calls = outcome.by_agent[agent]
    elif outcome.by_day:
        calls = outcome.by_day.get(day, 0)
    else:
        calls = outcome.calls or 0
    if within and agent is None:
        lacking = outcome.lacking
    else:  # Summaries have no day and no agent of the calls without a detail.
        lacking = 0 if outcome.state is State.COMPLETE else calls
    return Figures(calls, max(0, calls - lacking))


def _has_days(outcome: Outcome) -> bool:
    known = outcome.calls is not None
    return bool(outcome.by_day) or (known and (outcome.calls == 0 or _is_within_a_day(outcome)))


def _is_within_a_day(outcome: Outcome) -> bool:
    return outcome.end <= midnight(outcome.start.astimezone(UTC).date()) + DAY
