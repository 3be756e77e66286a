"""Which run's task goes first, where several wait for the same slot."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.task.priority_strategy import PriorityWeightStrategy
from airflow.utils.types import DagRunType

from airflow_provider_talkpilot.compat import run_type

if TYPE_CHECKING:
    from airflow.models.taskinstance import TaskInstance

# How much less the tasks of a run weigh, by its type.
_LESS = {DagRunType.MANUAL: 1, DagRunType.BACKFILL_JOB: 2}


class ScheduledFirst(PriorityWeightStrategy):
    """
    Tasks of scheduled runs keep their own weight; a manual run's weigh 1 less, a backfill's 2 less.

    Among equals Airflow starts the task with the oldest date first: without this the tasks of a
    backfill would all go before the newest day's. Registered by the plugin; give it to tasks as
    ``weight_rule="airflow_provider_talkpilot.operators.priority.ScheduledFirst"``.
    """

    def get_weight(self, ti: TaskInstance) -> int:
        """Weigh a task, when its run is made or cleared."""
        own = int(ti.task.priority_weight) if ti.task else 1
        return own - _LESS.get(run_type(ti), 0)
