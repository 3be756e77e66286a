"""Decide which run's task starts first when several wait for the same slot."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.task.priority_strategy import PriorityWeightStrategy
from airflow.utils.types import DagRunType

from airflow_provider_talkpilot.compat import run_type

if TYPE_CHECKING:
    from airflow.models.taskinstance import TaskInstance

# What the tasks of a run lose of their weight, by the type of the run.
_LOSS = {DagRunType.MANUAL: 1, DagRunType.BACKFILL_JOB: 2}


class ScheduledFirst(PriorityWeightStrategy):
    """
    Tasks of scheduled runs keep their weight; those of manual runs lose 1, those of backfills 2.

    Among tasks of one weight, Airflow starts the one with the oldest date. So without this rule all
    tasks of a backfill would start before the newest day's. The plugin registers the rule. Use it
    as ``weight_rule="airflow_provider_talkpilot.operators.priority.ScheduledFirst"``.
    """

    def get_weight(self, ti: TaskInstance) -> int:
        """Return a task's weight; Airflow calls this when the run is created or cleared."""
        own = int(ti.task.priority_weight) if ti.task else 1
        return own - _LOSS.get(run_type(ti), 0)
