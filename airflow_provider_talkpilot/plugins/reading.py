"""Reads from Airflow's database what runs left there: bounded, by indexed columns, no more."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, NamedTuple

from airflow.models.dagrun import DagRun
from airflow.models.renderedtifields import RenderedTaskInstanceFields
from airflow.models.taskinstance import TaskInstance
from airflow.models.xcom import XComModel
from sqlalchemy import func, select, tuple_, union
from sqlalchemy.orm import Session

from airflow_provider_talkpilot.plugins.records import OPERATORS, Run, Task, mapping

MAX_TASKS = 50_000
# Rendered fields and confs are read of tasks that left no XCom: the newest of them.
MAX_SILENT = 500
_BATCH = 100
_RETURNED, _SUMMARY = "return_value", "summary"


@dataclass(frozen=True)
class Read:
    """What was read.

    :param truncated: whether older tasks of the range were left out.
    """

    tasks: list[Task]
    truncated: bool = False


class _Key(NamedTuple):
    dag_id: str
    run_id: str
    task_id: str
    map_index: int


def read_tasks(session: Session, since: datetime, may_read: Callable[[set[str]], set[str]]) -> Read:
    """Read the tasks of our operators.

    :param session: of Airflow's database; nothing is written.
    :param since: the earliest ``run_after`` of their runs. A run is never due before its interval
        is over.
    :param may_read: leaves of some DAGs those that the user may read.
    :return: the tasks of at most ``MAX_TASKS``, the newest runs first.
    """
    dag_ids = may_read(_our_dags(session, since))
    if not dag_ids:
        return Read([])
    is_ours = TaskInstance.operator.in_(OPERATORS)
    rows = session.execute(
        select(
            DagRun.id,
            DagRun.dag_id,
            DagRun.run_id,
            DagRun.state,
            DagRun.run_after,
            DagRun.data_interval_start,
            DagRun.data_interval_end,
            TaskInstance.task_id,
            TaskInstance.map_index,
            TaskInstance.operator,
            TaskInstance.state.label("task_state"),
            TaskInstance.end_date,
        )
        .join_from(DagRun, TaskInstance, _same_run())
        .where(DagRun.run_after >= since, DagRun.dag_id.in_(dag_ids), is_ours)
        .order_by(DagRun.run_after.desc(), DagRun.id.desc())
        .limit(MAX_TASKS + 1)
    ).all()
    truncated = len(rows) > MAX_TASKS
    runs: dict[int, Run] = {}
    tasks: dict[_Key, Task] = {}
    for row in rows[:MAX_TASKS]:
        run = runs.get(row.id)
        if run is None:
            start, end = row.data_interval_start, row.data_interval_end
            run = Run(row.dag_id, row.run_id, str(row.state), row.run_after, start, end)
            runs[row.id] = run
        key = _Key(row.dag_id, row.run_id, row.task_id, row.map_index)
        tasks[key] = Task(
            run, row.task_id, row.map_index, row.operator or "", row.task_state, row.end_date
        )
    if tasks:
        _add_xcoms(session, tasks, min(run.run_after for run in runs.values()))
        _add_rendered(session, tasks)
    return Read(list(tasks.values()), truncated)


def _our_dags(session: Session, since: datetime) -> set[str]:
    """DAGs that use our operators, as their first and their last run of the range tell.

    Operators are not indexed: to look through all task instances would take seconds.
    """
    in_range = select(DagRun.dag_id).where(DagRun.run_after >= since).group_by(DagRun.dag_id)
    ends = union(
        in_range.with_only_columns(func.min(DagRun.id).label("id")),
        in_range.with_only_columns(func.max(DagRun.id).label("id")),
    ).subquery()
    found = session.scalars(
        select(TaskInstance.dag_id)
        .join(DagRun, _same_run())
        .join(ends, ends.c.id == DagRun.id)
        .where(TaskInstance.operator.in_(OPERATORS))
        .distinct()
    )
    return set(found)


def _add_xcoms(session: Session, tasks: dict[_Key, Task], since: datetime) -> None:
    dag_ids = {key.dag_id for key in tasks}
    task_ids = {key.task_id for key in tasks}
    rows = session.execute(
        select(
            XComModel.dag_id,
            XComModel.run_id,
            XComModel.task_id,
            XComModel.map_index,
            XComModel.key,
            XComModel.value,
        )
        .join_from(DagRun, XComModel, XComModel.dag_run_id == DagRun.id)
        .where(
            DagRun.run_after >= since,
            DagRun.dag_id.in_(dag_ids),
            XComModel.task_id.in_(task_ids),
            XComModel.key.in_((_RETURNED, _SUMMARY)),
        )
        .limit(2 * MAX_TASKS)
    )
    for *key, name, value in rows:
        task = tasks.get(_Key(*key))
        if task is None:
            continue
        plain = _plain(value)
        if name == _SUMMARY:
            tasks[_Key(*key)] = replace(task, summary=mapping(plain))
        else:
            tasks[_Key(*key)] = replace(task, returned=plain)


def _plain(value: Any) -> Any:
    """The value of an XCom; what other backends write is left as it is."""
    if isinstance(value, str) and value[:1] in ("{", "[", '"'):  # as Airflow 2 wrote it
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value


def _add_rendered(session: Session, tasks: dict[_Key, Task]) -> None:
    """Of tasks that left nothing: what they were asked to do."""
    silent = [
        key
        for key, task in tasks.items()
        if not task.summary and task.returned is None and task.operator in OPERATORS
    ][:MAX_SILENT]
    rendered = _fields_of(session, silent)
    confs = _confs_of(session, sorted({(key.dag_id, key.run_id) for key in silent}))
    for key in silent:
        task = tasks[key]
        run = replace(task.run, conf=confs.get((key.dag_id, key.run_id), {}))
        tasks[key] = replace(task, run=run, rendered=rendered.get(key, {}))


def _fields_of(session: Session, keys: Sequence[_Key]) -> dict[_Key, Mapping[str, Any]]:
    fields = RenderedTaskInstanceFields
    columns = (fields.dag_id, fields.run_id, fields.task_id, fields.map_index)
    found: dict[_Key, Mapping[str, Any]] = {}
    for batch in _batches(keys):
        rows = session.execute(
            select(*columns, fields.rendered_fields).where(tuple_(*columns).in_(batch))
        )
        found |= {_Key(*key): mapping(value) for *key, value in rows}
    return found


def _confs_of(
    session: Session, runs: Sequence[tuple[str, str]]
) -> dict[tuple[str, str], Mapping[str, Any]]:
    columns = (DagRun.dag_id, DagRun.run_id)
    found: dict[tuple[str, str], Mapping[str, Any]] = {}
    for batch in _batches(runs):
        rows = session.execute(select(*columns, DagRun.conf).where(tuple_(*columns).in_(batch)))
        found |= {(dag_id, run_id): mapping(conf) for dag_id, run_id, conf in rows}
    return found


def _batches(keys: Sequence[Any]) -> Iterator[Sequence[Any]]:
    for first in range(0, len(keys), _BATCH):
        yield keys[first : first + _BATCH]


def _same_run() -> Any:
    return (TaskInstance.dag_id == DagRun.dag_id) & (TaskInstance.run_id == DagRun.run_id)
