"""Turns the tasks that ran into what the page shows: counts and ids, nothing of callers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from itertools import groupby
from typing import Any

from airflow_provider_talkpilot.plugins.overview import figures
from airflow_provider_talkpilot.plugins.overview.calendar import (
    Day,
    DayState,
    calendar,
    mark_absent,
    together,
)
from airflow_provider_talkpilot.plugins.overview.figures import Figures
from airflow_provider_talkpilot.plugins.overview.outcomes import Outcome, outcomes
from airflow_provider_talkpilot.plugins.overview.records import Task
from airflow_provider_talkpilot.plugins.overview.resyncs import Resync, resyncs
from airflow_provider_talkpilot.plugins.overview.spending import Spending, spending

MAX_AGENTS = 200
MAX_EVENTS = 10


@dataclass
class _Notes:
    """The outcomes that the page needs: each is sent once, and named by its number."""

    numbers: dict[int, int] = field(default_factory=dict)
    sent: list[dict[str, Any]] = field(default_factory=list)

    def number(self, outcome: Outcome | None) -> int | None:
        if outcome is None:
            return None
        if id(outcome) not in self.numbers:
            self.numbers[id(outcome)] = len(self.sent)
            self.sent.append(
                {
                    "dag_id": outcome.dag_id,
                    "run_id": outcome.run_id,
                    "start": _text(outcome.start),
                    "end": _text(outcome.end),
                    "at": _text(outcome.at),
                    "state": outcome.state,
                    "calls_loaded": outcome.calls_loaded,
                    "failed_task": outcome.failed_task,
                    "drift": dict(sorted(outcome.drift.items())),
                    "recordings": dict(sorted(outcome.recordings.items())),
                }
            )
        return self.numbers[id(outcome)]


def overview(tasks: Sequence[Task], *, now: datetime, days: int) -> dict[str, Any]:
    """Make the figures that the page shows.

    :param tasks: all tasks that push summaries.
    :param now: aware.
    :param days: how many days to show; the last is today.
    :return: what ``static/page.js`` draws.
    """
    today = now.astimezone(UTC).date()
    shown = [today - timedelta(days=days - 1 - number) for number in range(days)]
    found, unplaced = outcomes(tasks)
    spent = spending(tasks)
    notes = _Notes()
    names = {each.connection for each in found} | {each.connection for each in spent}
    again = resyncs(tasks, found)

    def connection(name: str) -> dict[str, Any]:
        mine = [each for each in found if each.connection == name]
        return {
            "id": name,
            **_calendars(shown, mine, notes),
            **_requests(shown, [each for each in spent if each.connection == name]),
            **_events(mine, notes),
            "resyncs": [_resync(each, notes) for each in again if each.outcome.connection == name],
        }

    return {
        "read_at": _text(now),
        "days": [day.isoformat() for day in shown],
        "has_runs": bool(tasks),
        "unplaced": unplaced,
        "connections": [connection(name) for name in sorted(names)],
        "outcomes": notes.sent,
    }


def _calendars(shown: Sequence[date], found: Sequence[Outcome], notes: _Notes) -> dict[str, Any]:
    agents = _agents(found)
    calendars = {agent: calendar(shown, found, agent) for agent in agents}
    mark_absent(list(calendars.values()))
    whole = together(list(calendars.values())) if calendars else calendar(shown, found)
    counted = figures.of_connection(shown, found)
    names: dict[str, str] = {}
    for outcome in reversed(found):  # the newest name of an agent counts
        names.update(outcome.agent_names)
    return {
        "days": _cells(whole, counted, notes),
        "states": Counter(day.state for day in whole),
        "calls": sum(each.calls for each in counted.values()),
        "details": sum(each.details for each in counted.values()),
        "agents": [
            {"name": names.get(agent)}
            | _agent(agent, calendars[agent], counted, figures.of_agent(shown, found, agent), notes)
            for agent in agents[:MAX_AGENTS]
        ],
        "agents_left_out": max(0, len(agents) - MAX_AGENTS),
    }


def _agents(found: Iterable[Outcome]) -> list[str]:
    """Return all agents, those with the most calls first."""
    calls: Counter[str] = Counter()
    for outcome in found:
        calls.update(dict.fromkeys(outcome.agents or (), 0))
        calls.update(outcome.by_agent)
    return sorted(calls, key=lambda agent: (-calls[agent], agent))


def _agent(
    agent: str,
    days: Sequence[Day],
    of_all: Mapping[date, Figures],
    counted: Mapping[date, Figures],
    notes: _Notes,
) -> dict[str, Any]:
    found: dict[str, Any] = {"id": agent, "days": _cells(days, counted, notes)}
    mine = {day.day for day in days if day.state is not DayState.ABSENT}
    # A walk of several days has no figures by agent and day: a sum without them would mislead.
    if mine & of_all.keys() <= counted.keys():
        found["calls"] = sum(each.calls for each in counted.values())
    return found


def _cells(
    days: Sequence[Day], counted: Mapping[date, Figures], notes: _Notes
) -> list[dict[str, Any]]:
    cells = []
    for day in days:
        cell: dict[str, Any] = {"state": day.state}
        if day.outcome is not None:
            cell["outcome"] = notes.number(day.outcome)
        if day.before is not None:
            cell["before"] = notes.number(day.before)
        if day.walking:
            cell["walking"] = True
        if (figure := counted.get(day.day)) is not None:
            cell |= {"calls": figure.calls, "details": figure.details}
        cells.append(cell)
    return cells


def _requests(shown: Sequence[date], spent: Sequence[Spending]) -> dict[str, Any]:
    by_day = {
        day: list(those)
        for day, those in groupby(spent, lambda each: each.at.astimezone(UTC).date())
    }
    rows = [_spent(by_day.get(day, ())) for day in shown]
    limits = [each.hour_limit for each in spent if each.hour_limit]
    # A task that only stages what webhooks brought requests no detail, by whatever rule.
    rules = [each.rule for each in spent if each.rule not in ("", "by_webhook")]
    purposes = ("lists", "details", "performance")
    return {
        "requests": {
            "days": rows,
            **{name: sum(row[name] for row in rows) for name in rows[0]},
            "rule": rules[-1] if rules else None,
        },
        "quota": {
            "today": sum(rows[-1][purpose] for purpose in purposes),
            "hour_limit": limits[-1] if limits else None,
        },
    }


def _spent(those: Sequence[Spending]) -> dict[str, int]:
    """Add up requests by purpose; ``without`` webhooks, each transcript costs a detail."""
    return {
        "by_webhook": sum(each.by_webhook for each in those),
        "without": sum(each.lists + each.details + each.by_webhook for each in those),
        "lists": sum(each.lists for each in those),
        "details": sum(each.details for each in those),
        "performance": sum(each.performance for each in those),
        "least": sum(each.least_lists + each.least_details + each.performance for each in those),
    }


def _events(found: Sequence[Outcome], notes: _Notes) -> dict[str, Any]:
    """Return purges and erasures, newest first."""
    those = [each for each in found if each.erased or each.purged]
    return {
        "purged": sum(each.purged for each in found),
        "erased": sum(each.erased for each in found),
        "events": [
            {
                "outcome": notes.number(each),
                "purged": each.purged,
                "erased": each.erased,
            }
            for each in those[:MAX_EVENTS]
        ],
        "events_left_out": max(0, len(those) - MAX_EVENTS),
    }


def _resync(resync: Resync, notes: _Notes) -> dict[str, Any]:
    return {"reason": resync.reason, "outcome": notes.number(resync.outcome)}


def _text(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
