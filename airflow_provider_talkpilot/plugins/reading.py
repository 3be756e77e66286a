"""Reads the tasks that push our summaries from Airflow's database, in few and bounded queries."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from airflow.models.dagrun import DagRun
from airflow.models.taskinstance import TaskInstance
from airflow.models.xcom import XComModel
from sqlalchemy import and_, func, select, tuple_
from sqlalchemy.orm import Session

from airflow_provider_talkpilot.plugins.overview.records import Run, Summary, Task
from airflow_provider_talkpilot.plugins.xcoms import SUMMARY, SummaryReader

MAX_TASKS = 50_000
# Where the XCom backend may fetch each summary from elsewhere.
MAX_TASKS_ELSEWHERE = 5_000

_TaskName = tuple[str, str]  # DAG and task


@dataclass(frozen=True)
class Read:
    """The tasks that were read.

    :param truncated: whether older tasks of the range are missing.
    :param unreadable: how many tasks have a summary that could not be read.
    """

    tasks: list[Task] = field(default_factory=list)
    truncated: bool = False
    unreadable: int = 0


def read_tasks(session: Session, since: datetime, may_read: Callable[[set[str]], set[str]]) -> Read:
    """Read the tasks that push summaries of our operators.

    The last summary of a task shows whether it is one of them, not its id or class: users rename
    tasks and subclass operators. A task without any summary in the range is not found.

    :param session: of Airflow's database; nothing is written.
    :param since: the earliest ``run_after`` of their runs. A run is never due before its interval
        is over.
    :param may_read: returns those of some DAGs that the user may read.
    :return: the tasks of the newest runs, newest first, up to a bound.
    """
    reader = SummaryReader()
    names = _our_tasks(session, since, may_read, reader)
    if not names:
        return Read()
    most = MAX_TASKS if reader.is_local else MAX_TASKS_ELSEWHERE
    rows = _rows(session, since, names, most + 1)
    truncated, rows = len(rows) > most, rows[:most]
    runs: dict[int, Run] = {}
    tasks: list[Task] = []
    unreadable = 0
    for row, found in zip(rows, reader.read(rows), strict=True):
        summary = found if isinstance(found, Summary) else None
        # Each of these tasks pushes summaries: a value that is none was lost.
        unreadable += summary is None and row.value is not None
        run = Run(row.dag_id, row.run_id, str(row.state), row.run_after)
        run = runs.setdefault(row.id, run)
        tasks.append(Task(run, row.task_id, row.map_index, row.task_state, row.end_date, summary))
    return Read(tasks, truncated, unreadable)


def _our_tasks(
    session: Session,
    since: datetime,
    may_read: Callable[[set[str]], set[str]],
    reader: SummaryReader,
) -> list[_TaskName]:
    """Find the tasks whose last summary is of our operators, or cannot be read.

    Other tasks push XComs of that name too, which may be large: only their last one is read.
    """
    latest = session.execute(
        select(XComModel.dag_id, XComModel.task_id, func.max(XComModel.dag_run_id).label("run"))
        .join_from(XComModel, DagRun, XComModel.dag_run_id == DagRun.id)
        .where(XComModel.key == SUMMARY, DagRun.run_after >= since)
        .group_by(XComModel.dag_id, XComModel.task_id)
    ).all()
    readable = may_read({row.dag_id for row in latest})
    wanted = [(row.run, row.task_id) for row in latest if row.dag_id in readable]
    if not wanted:
        return []
    rows = session.execute(
        select(XComModel.dag_id, XComModel.task_id, XComModel.key, XComModel.value).where(
            XComModel.key == SUMMARY, tuple_(XComModel.dag_run_id, XComModel.task_id).in_(wanted)
        )
    ).all()
    found = zip(rows, reader.read(rows), strict=True)
    return sorted({(row.dag_id, row.task_id) for row, summary in found if summary is not None})


def _rows(
    session: Session, since: datetime, names: Sequence[_TaskName], most: int
) -> Sequence[Any]:
    """Read instances of some tasks with their runs and summaries, newest runs first."""
    return session.execute(
        select(
            DagRun.id,
            DagRun.dag_id,
            DagRun.run_id,
            DagRun.state,
            DagRun.run_after,
            TaskInstance.task_id,
            TaskInstance.map_index,
            TaskInstance.state.label("task_state"),
            TaskInstance.end_date,
            XComModel.key,
            XComModel.value,
        )
        .join_from(
            DagRun,
            TaskInstance,
            and_(TaskInstance.dag_id == DagRun.dag_id, TaskInstance.run_id == DagRun.run_id),
        )
        .outerjoin(
            XComModel,
            and_(
                XComModel.dag_run_id == DagRun.id,
                XComModel.task_id == TaskInstance.task_id,
                XComModel.map_index == TaskInstance.map_index,
                XComModel.key == SUMMARY,
            ),
        )
        .where(
            DagRun.run_after >= since, tuple_(TaskInstance.dag_id, TaskInstance.task_id).in_(names)
        )
        .order_by(DagRun.run_after.desc(), DagRun.id.desc())
        .limit(most)
    ).all()
