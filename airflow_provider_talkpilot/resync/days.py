"""Choose the past days that a run reads again: by retention, and by the longest look-back due.

An agent's ``retention_days`` is the age at which TalkPilot purges a call. TalkPilot does not report
a purge, so a run must list the call's day again. A run lists a day once when all of its calls are
that old. If the purge of a call was late by then, the next run lists the day once more, and no run
after it does.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import NamedTuple

from pydantic import TypeAdapter, ValidationError

from airflow_provider_talkpilot.api import Agent, Interval
from airflow_provider_talkpilot.resync.look_backs import (
    ONE_DAY,
    LookBack,
    days_to_read,
    longest_due,
    read_after,
    resync_end,
)

log = logging.getLogger(__name__)

# For agents without a number of their own. Source: TalkPilot's documentation, product/settings.
DEFAULT_RETENTION = 90

_SHORTEST, _LONGEST = 1, 36_500


def retention_by_agent(agents: Iterable[Agent]) -> dict[str, int]:
    """Return for how many days TalkPilot keeps each agent's calls.

    Where the number cannot be read, the default is used, and a warning logged.
    """
    retention, unreadable = dict[str, int](), list[str]()
    for agent in agents:
        days = DEFAULT_RETENTION if agent.retention_days is None else agent.retention_days
        retention[agent.id] = min(max(days, _SHORTEST), _LONGEST)
        if "retention_days" in (agent.model_extra or {}):
            unreadable.append(agent.id)
    if unreadable:
        log.warning(
            "retention_days of %d agent(s), such as %s, is no number: %d days are assumed. Report "
            "it to TalkPilot, or update this package.",
            len(unreadable),
            unreadable[0],
            DEFAULT_RETENTION,
        )
    return retention


@dataclass(frozen=True)
class RetentionState:
    """Which days earlier runs have read because of retention.

    :param on: the day of the last run.
    :param agents: two days for each agent. Runs have read the days before the first one twice, and
        the days from there up to the second one once.
    """

    on: date = date.min
    agents: Mapping[str, tuple[date, date]] = field(default_factory=dict)

    def due(self, retention: Mapping[str, int], today: date) -> dict[Interval, list[str]]:
        """Return the days that a run has to read, with the agents whose days they are.

        :param retention: for how many days TalkPilot keeps calls, by agent.
        """
        agents_of = defaultdict[Interval, list[str]](list)
        for agent_id, days in retention.items():
            twice, once = self._read(agent_id)
            # A day that was read once is due again, also if the retention is longer by now.
            end = max(today - days * ONE_DAY, once)
            if twice < end:
                agents_of[Interval.parse(twice, end)].append(agent_id)
        return dict(agents_of)

    def after(self, retention: Mapping[str, int], today: date) -> RetentionState:
        """Return the state once a run has read what was due.

        After a longer retention, days are due a second time. A second run on one day changes
        nothing, because TalkPilot may not have purged anything between the two.
        """
        if today <= self.on:
            return self
        ends = {agent_id: today - days * ONE_DAY for agent_id, days in retention.items()}
        agents = {id_: (min(end, self._read(id_)[1]), end) for id_, end in ends.items()}
        return RetentionState(today, agents)

    def _read(self, agent_id: str) -> tuple[date, date]:
        return self.agents.get(agent_id, (date.min, date.min))


@dataclass(frozen=True)
class ResyncState:
    """What earlier runs have read. Its text is stored between runs.

    :param look_backs: the first day not read, by the look-back's ``days``.
    """

    look_backs: Mapping[int, date] = field(default_factory=dict)
    retention: RetentionState = RetentionState()

    @classmethod
    def parse(cls, text: str) -> ResyncState:
        """Read the text of a state. If it is unreadable, nothing counts as read."""
        try:
            return _state.validate_json(text or "{}")
        except ValidationError:
            log.warning("What earlier re-syncs have read is unreadable: everything is read again.")
            return cls()

    def __str__(self) -> str:
        return _state.dump_json(self).decode()


_state = TypeAdapter(ResyncState)


def later_state(state: str, stored: str) -> str:
    """Return the later of two states: that of a run, and the one that is stored.

    A run of long ago that a user clears must not bring back a state in which everything is due.
    """
    return max(state, stored, key=lambda text: ResyncState.parse(text).retention.on)


class ChosenInterval(NamedTuple):
    """An interval that a run reads again.

    :param agents: ids of agents; None for every agent of the key.
    :param reason: as the log and the page show it.
    """

    interval: Interval
    agents: list[str] | None
    reason: str

    def __str__(self) -> str:
        agents = "every agent" if self.agents is None else f"{len(self.agents)} agent(s)"
        return f"{self.interval}, {agents}: {self.reason}"


def choose_intervals(
    today: date,
    look_backs: Sequence[LookBack],
    state: ResyncState,
    *,
    agents: list[str] | None,
    retention: Mapping[str, int],
    earliest: date,
    unpurged_days: Callable[[Mapping[Interval, Sequence[str]]], Iterable[tuple[str, date]]],
) -> tuple[list[ChosenInterval], ResyncState]:
    """Choose what a run reads again.

    :param today: the UTC day on which the run's data interval ends.
    :param agents: whose calls a look-back reads; None for every agent of the key.
    :param retention: for how many days TalkPilot keeps calls, by agent.
    :param earliest: the day of the table's first call, before yesterday. A look-back leaves out the
        days before it.
    :param unpurged_days: gets agents by interval; returns the agents and days for which the table
        has calls that are neither purged nor erased.
    :return: the intervals, and the state once a run has read all of them. If nothing is due: no
        interval, and the state as it is.
    """
    end, read, covered = resync_end(today), state.look_backs, None
    look_back = longest_due(look_backs, end, read)
    if look_back:
        covered = days_to_read(look_back, look_backs, end, read, earliest)
        read = read_after(look_back, end, read)
    due = state.retention.due(retention, today)
    unpurged = unpurged_days(due) if due else ()
    # Retention first: its intervals are short, and a legal duty.
    chosen = sorted(by_retention(due, unpurged, covered, agents))
    if look_back and covered:
        chosen.append(ChosenInterval(covered, agents, f"look-back of {look_back.days} day(s)"))
    if not chosen:
        return [], state
    return chosen, ResyncState(read, state.retention.after(retention, today))


def by_retention(
    due: Mapping[Interval, Sequence[str]],
    unpurged: Iterable[tuple[str, date]],
    covered: Interval | None,
    agents: Collection[str] | None,
) -> Iterator[ChosenInterval]:
    """Shorten each interval that is due by retention to the days that have something to purge.

    :param due: agents by interval.
    :param unpurged: the result of ``unpurged_days`` for them.
    :param covered: an interval that the run reads anyway.
    :param agents: whose calls it reads there; None for every agent of the key.
    """
    due_of = {agent_id: interval for interval, ids in due.items() for agent_id in ids}
    days_of = defaultdict[Interval, list[tuple[date, str]]](list)
    for agent_id, day in unpurged:
        is_named = agents is None or agent_id in agents
        if not (is_named and covered and covered.overlaps(Interval.parse(day, day + ONE_DAY))):
            days_of[due_of[agent_id]].append((day, agent_id))
    for days in days_of.values():
        interval = Interval.parse(min(days)[0], max(days)[0] + ONE_DAY)
        yield ChosenInterval(interval, sorted({id_ for _, id_ in days}), "retention")
