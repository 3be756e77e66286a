"""Runs an operator as a task, with rendered templates, a context and XComs, without a database."""

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
    """The part of a task instance that operators use."""

    task_id: str
    dag_id: str = DAG_ID
    run_id: str = "manual__test"
    map_index: int = -1
    try_number: int = 1
    xcoms: dict[str, Any] = field(default_factory=dict)

    def xcom_push(self, key: str, value: Any) -> None:
        self.xcoms[key] = value

    def xcom_pull(self, *_: Any, default: Any = None, **__: Any) -> Any:
        """Return the default: no other task has pushed an XCom."""
        return default

    def get_relevant_upstream_map_indexes(self, *_: Any, **__: Any) -> None:
        """Tell Airflow 2.11 that no task is mapped."""


@dataclass(frozen=True)
class Outcome:
    """The results of a task.

    :param returned: by ``execute``.
    :param xcoms: those that it pushed, by key.
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
    """Run one task to its end.

    :param operator: the operator's class.
    :param interval: the run's data interval; None for a run that has none.
    :param params: the run's params.
    :param method: the method to call; after a deferral, the name that the deferral gave.
    :param event: of the trigger, after a deferral.
    :param xcoms: receives the XComs, even if the task fails.
    :param native: whether templates render to Python objects.
    :param arguments: of the operator.
    :raises Exception: all that the task raises.
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
    """Set Airflow's own switch for tests; without it, every execute() logs a warning."""
    is_new = find_spec("airflow.sdk") is not None
    module = import_module(
        "airflow.sdk.bases.operator" if is_new else "airflow.models.baseoperator"
    )
    module.ExecutorSafeguard.test_mode = True
    if not is_new:
        # Airflow 2 makes this in the thread that imports it and in no other.
        module.ExecutorSafeguard._sentinel.callers = {}
