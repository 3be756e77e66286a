"""Runs an operator as a task: rendered templates, a context, recorded XComs; no database."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from airflow.providers.common.compat.sdk import DAG, BaseOperator

DAG_ID = "calls"
_numbers = itertools.count()


@dataclass
class TaskInstance:
    """What an operator uses of a task instance."""

    task_id: str
    dag_id: str = DAG_ID
    run_id: str = "manual__test"
    map_index: int = -1
    try_number: int = 1
    xcoms: dict[str, Any] = field(default_factory=dict)

    def xcom_push(self, key: str, value: Any) -> None:
        self.xcoms[key] = value

    def xcom_pull(self, *_: Any, default: Any = None, **__: Any) -> Any:
        """No other task has left any."""
        return default

    def get_relevant_upstream_map_indexes(self, *_: Any, **__: Any) -> None:
        """Airflow 2.11 wants to know: no task is mapped."""


@dataclass(frozen=True)
class Outcome:
    """What a task left behind.

    :param returned: what ``execute`` returned.
    :param xcoms: what was pushed besides.
    :param rendered: the template fields as Airflow would store and show them.
    """

    returned: Any
    xcoms: dict[str, Any]
    rendered: dict[str, Any]


def run_task(
    operator: type[BaseOperator],
    *,
    interval: tuple[str, str] | None = None,
    params: dict[str, Any] | None = None,
    dag_id: str = DAG_ID,
    method: str = "execute",
    event: Any = None,
    xcoms: dict[str, Any] | None = None,
    native: bool = False,
    **arguments: Any,
) -> Outcome:
    """Run one task to its end; what it raises comes through.

    :param operator: the operator's class.
    :param interval: the run's data interval; None for a run that has none.
    :param params: the run's params.
    :param method: what to call; the name that a deferral gave.
    :param event: the trigger's, where the task goes on after a deferral.
    :param xcoms: gets what is pushed, where the task fails too.
    :param native: whether templates give Python objects.
    :param arguments: the operator's.
    """
    dag = DAG(
        dag_id,
        schedule=None,
        start_date=datetime(2026, 1, 1, tzinfo=UTC),
        render_template_as_native_obj=native,
    )
    task = operator(task_id=f"task_{next(_numbers)}", dag=dag, **arguments)
    ti = TaskInstance(task.task_id, dag_id, xcoms={} if xcoms is None else xcoms)
    context: Any = {"ti": ti, "task_instance": ti, "dag": dag, "task": task, "params": params or {}}
    if interval:
        start, end = (datetime.fromisoformat(bound).replace(tzinfo=UTC) for bound in interval)
        context |= {"data_interval_start": start, "data_interval_end": end, "run_id": ti.run_id}
    _allow_execute_outside_a_task_runner()
    task.render_template_fields(context)
    if event is None:
        returned = getattr(task, method)(context)
    else:
        returned = task.resume_execution(method, {"event": event}, context)
    rendered = {name: getattr(task, name) for name in task.template_fields}
    return Outcome(returned, ti.xcoms, rendered)


def _allow_execute_outside_a_task_runner() -> None:
    """Else every execute() in a test logs a warning; the switch is Airflow's own for tests."""
    is_new = find_spec("airflow.sdk") is not None
    module = import_module(
        "airflow.sdk.bases.operator" if is_new else "airflow.models.baseoperator"
    )
    module.ExecutorSafeguard.test_mode = True
    if not is_new:
        # Airflow 2 makes this in the thread that imports it and in no other.
        module.ExecutorSafeguard._sentinel.callers = {}
