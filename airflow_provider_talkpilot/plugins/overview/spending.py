"""Counts the requests that tasks spent, and the fewest that could have done the same work."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from airflow_provider_talkpilot.plugins.overview.records import Summary, Task, TaskKind

PAGE = 100


@dataclass(frozen=True)
class Spending:
    """Requests that a task spent, and the fewest that could have done its work.

    :param at: when the task ended.
    :param performance: for performance records; the fewest are as many.
    :param by_webhook: transcripts that came by webhook.
    :param rule: the enrichment's rule for requesting details; empty for other tasks.
    :param hour_limit: the connection's own hourly limit, if it has one.
    """

    connection: str
    at: datetime
    lists: int
    details: int
    performance: int
    least_lists: int
    least_details: int
    by_webhook: int = 0
    rule: str = ""
    hour_limit: int | None = None


def spending(tasks: Iterable[Task]) -> list[Spending]:
    """Count requests by task, oldest first; a task that is not done has no counts yet."""
    found = []
    for task in tasks:
        summary = task.summary
        if summary is None or summary.requests is None or task.ended is None:
            continue
        details = summary.requests.get("detail", 0)
        performance = summary.requests.get("performance", 0)
        lists = sum(summary.requests.values()) - details - performance
        found.append(
            Spending(
                connection=summary.connection_id,
                at=task.ended,
                lists=lists,
                details=details,
                performance=performance,
                least_lists=_least_lists(summary) if summary.kind is TaskKind.CALLS else lists,
                least_details=min(summary.fetched, details),
                by_webhook=summary.by_webhook,
                rule=summary.rule,
                hour_limit=summary.requests_per_hour,
            )
        )
    return sorted(found, key=lambda each: each.at)


def _least_lists(summary: Summary) -> int:
    """Count a page for 100 calls of an agent, and the list of agents if the task read it."""
    agents = summary.agents
    if summary.by_agent:
        pages = sum(max(1, math.ceil(calls / PAGE)) for calls in summary.by_agent.values())
    else:
        pages = max(agents, math.ceil((summary.calls or 0) / PAGE))
    read_agents = "agents" in (summary.requests or {})
    return pages + (max(1, math.ceil(agents / PAGE)) if read_agents else 0)
