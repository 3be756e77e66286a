"""Finds when a re-sync last read past days again, for each of its reasons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from airflow_provider_talkpilot.plugins.overview.outcomes import Outcome
from airflow_provider_talkpilot.plugins.overview.records import Task, TaskKind


@dataclass(frozen=True)
class Resync:
    """The last interval that a re-sync read again for a reason.

    :param reason: such as ``retention``.
    :param outcome: of the interval.
    """

    reason: str
    outcome: Outcome


def resyncs(tasks: Sequence[Task], outcomes: Sequence[Outcome]) -> list[Resync]:
    """Find the last re-sync for each reason.

    :param tasks: all tasks that push summaries.
    :param outcomes: their outcomes, newest first.
    :return: one for each connection and reason; empty if no task chooses days.
    """
    reasons = {
        (task.run.dag_id, task.run.run_id, chosen.start, chosen.end): chosen.reason
        for task in tasks
        if task.succeeded and task.summary and task.summary.kind is TaskKind.RESYNC
        for chosen in task.summary.intervals
    }
    found: dict[tuple[str, str], Resync] = {}
    for outcome in outcomes:
        reason = reasons.get((outcome.dag_id, outcome.run_id, outcome.start, outcome.end))
        if reason is not None:
            found.setdefault((outcome.connection, reason), Resync(reason, outcome))
    return sorted(found.values(), key=lambda each: (len(each.reason), each.reason))
