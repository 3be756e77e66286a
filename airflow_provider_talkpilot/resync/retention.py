"""Which past days a re-sync reads because TalkPilot purges their calls by age.

An agent's ``retention_days`` tells how old a call may get before TalkPilot purges it. Nothing tells
that it was purged but reading its day again. So a day is read once all of its calls are that old. A
call that was not purged by then shows that TalkPilot's own job is late: its day is read in the next
run too, and then no more.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import NamedTuple

from airflow_provider_talkpilot.api import Agent, Interval
from airflow_provider_talkpilot.resync.look_backs import ONE_DAY, midnight

log = logging.getLogger(__name__)

# What TalkPilot does where an agent says nothing. Source: its documentation, product/settings.
DEFAULT_DAYS = 90

_SHORTEST, _LONGEST = 1, 36_500


def retentions(agents: Iterable[Agent]) -> dict[str, int]:
    """Tell how many days TalkPilot keeps each agent's calls; log where that cannot be read."""
    found, unreadable = dict[str, int](), list[str]()
    for agent in agents:
        days = DEFAULT_DAYS if agent.retention_days is None else agent.retention_days
        found[agent.id] = min(max(days, _SHORTEST), _LONGEST)
        if "retention_days" in (agent.model_extra or {}):
            unreadable.append(agent.id)
    if unreadable:
        log.warning(
            "retention_days of %d agent(s), such as %s, is no number: %d days are assumed. Report "
            "it to TalkPilot, or update this package.",
            len(unreadable),
            unreadable[0],
            DEFAULT_DAYS,
        )
    return found


@dataclass(frozen=True, order=True)
class Window:
    """Days whose calls are all older than their agents' retention, and were not read twice yet.

    :param first: the first day; ``date.min`` where the agents were never read.
    :param end: the day after the last.
    :param agents: the agents' ids, sorted.
    """

    first: date
    end: date
    agents: tuple[str, ...]


@dataclass(frozen=True)
class Watched:
    """What earlier runs have read because of retention.

    :param on: the day of the last run.
    :param agents: by agent, two days: before the first one, days were read in two runs or more;
        from there up to the second one in one run.
    """

    on: date = date.min
    agents: Mapping[str, tuple[date, date]] = field(default_factory=dict)

    def windows(self, retention: Mapping[str, int], today: date) -> list[Window]:
        """The days that are due in a run, in one window for all agents that have the same."""
        alike = defaultdict[tuple[date, date], list[str]](list)
        for agent_id, days in retention.items():
            twice, once = self._of(agent_id)
            # What was read once is read again, even where the retention has become longer since.
            if twice < (end := max(today - days * ONE_DAY, once)):
                alike[twice, end].append(agent_id)
        return sorted(Window(*days, tuple(sorted(ids))) for days, ids in alike.items())

    def after(self, retention: Mapping[str, int], today: date) -> Watched:
        """What is read once a run's windows have been read to the end.

        A longer retention takes days back: they will be due again. A second run on one day counts
        for nothing, since TalkPilot's job may not have run between the two.
        """
        if today <= self.on:
            return self
        ends = {agent_id: today - days * ONE_DAY for agent_id, days in retention.items()}
        return Watched(
            today, {each: (min(end, self._of(each)[1]), end) for each, end in ends.items()}
        )

    def _of(self, agent_id: str) -> tuple[date, date]:
        return self.agents.get(agent_id, (date.min, date.min))


class Reading(NamedTuple):
    """An interval that a run reads again, of some agents or of every agent of the key (None)."""

    interval: Interval
    agents: list[str] | None
    reason: str = "retention"  # as the log and the page show it

    def __str__(self) -> str:
        of = "every agent" if self.agents is None else f"{len(self.agents)} agent(s)"
        return f"{self.interval}, {of}: {self.reason}"


def readings(
    windows: Sequence[Window], unpurged: Iterable[tuple[str, date]], covered: Interval | None
) -> list[Reading]:
    """Make an interval of each window: from the first of its days that has to be read to the last.

    :param windows: of :meth:`Watched.windows`.
    :param unpurged: agents and days, within the windows, of which the table has calls that are
        neither purged nor erased. Of others there is nothing to learn.
    :param covered: the interval of a look-back that the run reads anyway, of all agents.
    :return: the intervals, oldest first.
    """
    window_of = {agent_id: window for window in windows for agent_id in window.agents}
    due = defaultdict[Window, list[tuple[str, date]]](list)
    for agent_id, day in unpurged:
        if covered is None or midnight(day) not in covered:
            due[window_of[agent_id]].append((agent_id, day))
    found = []
    for pairs in due.values():
        agents, days = zip(*pairs, strict=True)
        interval = Interval(midnight(min(days)), midnight(max(days) + ONE_DAY))
        found.append(Reading(interval, sorted(set(agents))))
    return sorted(found)
