"""When each rung of the re-sync's ladder was last read."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from airflow_provider_talkpilot.plugins.outcomes import Outcome
from airflow_provider_talkpilot.plugins.records import CHOOSE_RUNG, Task, mapping, text


@dataclass(frozen=True)
class Resync:
    """The last time that a rung was read.

    :param look_back: its length in days; None for an interval of somebody's own.
    :param outcome: what came of it.
    """

    look_back: int | None
    outcome: Outcome


def resyncs(tasks: Sequence[Task], outcomes: Sequence[Outcome]) -> list[Resync]:
    """Find the last re-sync of each rung, shortest first.

    :param tasks: all tasks.
    :param outcomes: what came of them, newest first.
    :return: by connection and rung one; empty where nothing chooses rungs.
    """
    rungs = {
        (task.run.dag_id, task.run.run_id): _look_back(task)
        for task in tasks
        if task.task_id == CHOOSE_RUNG and task.succeeded
    }
    found: dict[tuple[str, int | None], Resync] = {}
    for outcome in outcomes:
        key = outcome.dag_id, outcome.run_id
        if key in rungs:
            rung = rungs[key]
            found.setdefault((outcome.connection, rung), Resync(rung, outcome))
    return sorted(found.values(), key=lambda each: (each.look_back is None, each.look_back or 0))


def _look_back(task: Task) -> int | None:
    """The rung that was chosen: the shortest that is done, for it covers those before it."""
    try:
        done = json.loads(text(mapping(task.returned).get("done")) or "{}")
        return min((int(days) for days in mapping(done)), default=None)
    except ValueError:
        return None
