"""When past days were last read again, for each reason that a re-sync has."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from airflow_provider_talkpilot.plugins.outcomes import Outcome
from airflow_provider_talkpilot.plugins.records import CHOOSE, Task, mapping, moment, text

_Key = tuple[str, str, datetime, datetime]  # DAG, run, start, end


@dataclass(frozen=True)
class Resync:
    """The last interval that was read again for a reason.

    :param reason: such as ``retention``.
    :param outcome: what came of it.
    """

    reason: str
    outcome: Outcome


def resyncs(tasks: Sequence[Task], outcomes: Sequence[Outcome]) -> list[Resync]:
    """Find the last re-sync for each reason.

    :param tasks: all tasks.
    :param outcomes: what came of them, newest first.
    :return: by connection and reason one; empty where nothing chooses days.
    """
    reasons = {
        key: reason
        for task in tasks
        if task.operator == CHOOSE and task.succeeded
        for key, reason in _chosen(task)
    }
    found: dict[tuple[str, str], Resync] = {}
    for outcome in outcomes:
        reason = reasons.get((outcome.dag_id, outcome.run_id, outcome.start, outcome.end))
        if reason is not None:
            found.setdefault((outcome.connection, reason), Resync(reason, outcome))
    return sorted(found.values(), key=lambda each: (len(each.reason), each.reason))


def _chosen(task: Task) -> Iterator[tuple[_Key, str]]:
    """The intervals that a task chose, and why."""
    intervals, reasons = task.returned, task.summary.get("reasons")
    if not isinstance(intervals, list) or not isinstance(reasons, list):
        return
    for interval, reason in zip(intervals, reasons, strict=False):
        start, end = (moment(mapping(interval).get(name)) for name in ("start", "end"))
        if start and end and (told := text(reason)):
            yield (task.run.dag_id, task.run.run_id, start, end), told
