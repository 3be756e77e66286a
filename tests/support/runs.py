"""Runs as they are in Airflow's database: as records, and written to a real database."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from airflow_provider_talkpilot.plugins.overview.records import Run, Summary, Task

CONNECTION = "talkpilot_default"
DAG = "talkpilot_calls_to_bigquery"
ANNA, BERT = "aaaaaaaa-0000-4000-8000-000000000001", "bbbbbbbb-0000-4000-8000-000000000002"
ONE_DAY = timedelta(days=1)

TASKS = ("extract_calls", "load_calls", "enrich_calls", "load_details")
_OVER = ("success", "failed", "upstream_failed", "skipped", "removed")
_NOT_STARTED = (None, "scheduled", "queued", "upstream_failed", "skipped", "removed")

_numbers = itertools.count(1)


@dataclass
class Sync:
    """A run of the four tasks that bring one interval to the table.

    :param day: the interval's first day.
    :param days: the number of days.
    :param calls: by agent.
    :param purged: purges that the load of calls brought.
    :param states: of single tasks, instead of success.
    :param ended: when the last task ended; the others ended just before.
    :param map_index: of all its tasks.
    :param names: other ids of the tasks.
    :param names_of_agents: those that the list of agents had.
    :param drift: values that did not fit, by column: of the lists, and of the details.
    :param recordings: by status; those that its load of calls deleted have ``deleted``.
    """

    day: date
    days: int = 1
    calls: Mapping[str, int] = field(default_factory=lambda: {ANNA: 10, BERT: 6})
    purged: int = 0
    erased: int = 0
    fetched: int | None = None
    by_webhook: int = 0
    lacking: int = 0
    rule: str = "until_complete"
    names_of_agents: Mapping[str, str] = field(default_factory=dict)
    requests: Mapping[str, int] = field(default_factory=lambda: {"agents": 1, "calls": 2})
    states: Mapping[str, str | None] = field(default_factory=dict)
    connection: str = CONNECTION
    dag_id: str = DAG
    run_id: str = ""
    ended: datetime | None = None
    scope: str = "all"
    map_index: int = -1
    names: Mapping[str, str] = field(default_factory=dict)
    hour_limit: int | None = None
    drift: tuple[Mapping[str, int], Mapping[str, int]] = ({}, {})
    recordings: Mapping[str, int] = field(default_factory=dict)

    @property
    def start(self) -> datetime:
        return datetime.combine(self.day, time(), UTC)

    @property
    def end(self) -> datetime:
        return self.start + self.days * ONE_DAY

    def tasks(self) -> list[Task]:
        """Return the four tasks as they are in Airflow's database."""
        states: dict[str, str | None] = dict.fromkeys(TASKS, "success")
        states |= self.states
        ended = self.ended or self.end + timedelta(minutes=5)
        failed = any(state in ("failed", "upstream_failed") for state in states.values())
        busy = any(state not in _OVER for state in states.values())
        run = Run(
            self.dag_id,
            self.run_id or f"scheduled__{self.start.isoformat()}_{next(_numbers)}",
            "failed" if failed else "running" if busy else "success",
            min(ended, self.end),
        )
        about, figures = self._summaries()
        tasks = []
        for minute, (task_id, state) in enumerate(states.items()):
            task = Task(run, self.names.get(task_id, task_id), self.map_index, state)
            if state not in _NOT_STARTED:
                summary = about[task_id] | (figures[task_id] if state == "success" else {})
                task = replace(task, summary=Summary.model_validate(summary))
            if state in _OVER:
                task = replace(task, ended=ended - timedelta(minutes=3 - minute))
            tasks.append(task)
        return tasks

    def _summaries(self) -> tuple[dict[str, dict[str, Any]], dict[str, dict[str, Any]]]:
        """Return what each task pushes when it starts, and what more when it has succeeded."""
        folder = f"file:///staging/{next(_numbers):016x}"
        work: dict[str, Any] = {
            "scope": f"{self.connection}/{self.scope}",
            "connection_id": self.connection,
            "interval": {"start": self.start.isoformat(), "end": self.end.isoformat()},
        }
        agent_ids = None if self.scope == "all" else list(self.calls)
        manifests = {kind: {"manifest": f"{folder}/{kind}.json"} for kind in ("calls", "details")}
        load = {
            kind: work | manifest | {"kind": "load", "manifest_kind": kind}
            for kind, manifest in manifests.items()
        }
        total = sum(self.calls.values())
        by_day = {
            (self.day + number * ONE_DAY).isoformat(): {"calls": total // self.days}
            for number in range(self.days)
        }
        by_day[self.day.isoformat()]["calls"] += total % self.days
        staged = {
            "requests": dict(self.requests),
            "agents": len(self.calls),
            "calls": total,
            "purged": self.purged,
            "drift": dict(self.drift[0]),
            "by_agent": dict(self.calls),
            "agent_names": dict(self.names_of_agents),
            "by_day": by_day,
        }
        if self.hour_limit:
            staged["requests_per_hour"] = self.hour_limit
        fetched = total if self.fetched is None else self.fetched
        details = {
            "requests": {"detail": fetched},
            "fetched": fetched,
            "by_webhook": self.by_webhook,
            "lacking": self.lacking,
            "rule": self.rule,
            "drift": dict(self.drift[1]),
            "recordings": {k: v for k, v in self.recordings.items() if k != "deleted"},
        }
        loaded: dict[str, Any] = {
            "purged": self.purged,
            "erased": self.erased,
            "recordings_deleted": self.recordings.get("deleted", 0),
        }
        about = {
            "extract_calls": work | {"kind": "calls", "agent_ids": agent_ids},
            "load_calls": load["calls"],
            "enrich_calls": work | {"kind": "details"},
            "load_details": load["details"],
        }
        figures = {
            "extract_calls": manifests["calls"] | staged,
            "load_calls": loaded,
            "enrich_calls": manifests["details"] | details,
            "load_details": {},
        }
        return about, figures


def write(
    session: Any, tasks: Iterable[Task], *, serialize: Callable[[Any], Any] = lambda value: value
) -> None:
    """Write tasks to Airflow's database as its scheduler and workers do (Airflow 3).

    :param session: of SQLAlchemy.
    :param serialize: of the XCom backend.
    """
    from airflow.models.dag import DagModel
    from airflow.models.dagbundle import DagBundleModel
    from airflow.models.dagrun import DagRun
    from airflow.models.taskinstance import TaskInstance
    from airflow.models.xcom import XComModel
    from sqlalchemy import insert, select

    tasks = list(tasks)
    session.merge(DagBundleModel(name="tests"))
    for dag_id in {task.run.dag_id for task in tasks}:
        session.merge(DagModel(dag_id=dag_id, bundle_name="tests", is_stale=False))
    session.flush()
    runs = {(task.run.dag_id, task.run.run_id): task.run for task in tasks}
    session.execute(
        insert(DagRun),
        [
            {
                "dag_id": run.dag_id,
                "run_id": run.run_id,
                "run_type": "manual",
                "_state": run.state,
                "run_after": run.run_after,
                "conf": {},
            }
            for run in runs.values()
        ],
    )
    found = session.execute(select(DagRun.dag_id, DagRun.run_id, DagRun.id))
    ids = {(dag_id, run_id): number for dag_id, run_id, number in found}
    instances, xcoms = [], []
    for task in tasks:
        key = {
            "dag_id": task.run.dag_id,
            "run_id": task.run.run_id,
            "task_id": task.task_id,
            "map_index": task.map_index,
        }
        instances.append(
            {
                **key,
                "state": task.state,
                "end_date": task.ended,
                "pool": "default_pool",
                "pool_slots": 1,
                "try_number": 1,
                "max_tries": 0,
            }
        )
        if task.summary:
            value = serialize(task.summary.model_dump(mode="json", exclude_unset=True))
            number = ids[task.run.dag_id, task.run.run_id]
            xcoms.append({**key, "dag_run_id": number, "key": "summary", "value": value})
    session.execute(insert(TaskInstance), instances)
    if xcoms:
        session.execute(insert(XComModel), xcoms)
