"""What runs leave in Airflow's database: as records, and written to a real database."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

from airflow_provider_talkpilot.plugins.records import Run, Summary, Task

CONNECTION = "talkpilot_default"
DAG = "talkpilot_calls_to_bigquery"
ANNA, BERT = "aaaaaaaa-0000-4000-8000-000000000001", "bbbbbbbb-0000-4000-8000-000000000002"
ONE_DAY = timedelta(days=1)

TASKS = ("extract_calls", "load_calls", "enrich_calls", "load_details")
_OVER = ("success", "failed", "upstream_failed", "skipped", "removed")
_NOT_STARTED = (None, "scheduled", "queued", "upstream_failed", "skipped", "removed")

_numbers = itertools.count(1)


def at(text: str) -> datetime:
    """A moment in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@dataclass
class Sync:
    """A run of the four tasks that bring one interval to the table.

    :param day: its first day; ``days`` of them.
    :param calls: by agent.
    :param purged: how many purges its load of calls brought; they are of the first day.
    :param states: of single tasks, instead of success.
    :param ended: when the last task ended; the others ended just before.
    :param map_index: of all its tasks.
    :param names: other ids of the tasks.
    :param names_of_agents: as far as the list told them.
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
    names_of_agents: Mapping[str, str] = field(default_factory=dict)
    requests: Mapping[str, int] = field(default_factory=lambda: {"agents": 1, "calls": 2})
    states: Mapping[str, str | None] = field(default_factory=dict)
    run_state: str = ""
    connection: str = CONNECTION
    dag_id: str = DAG
    run_id: str = ""
    ended: datetime | None = None
    scope: str = "all"
    agent_ids: Sequence[str] = ()
    map_index: int = -1
    names: Mapping[str, str] = field(default_factory=dict)
    hour_limit: int | None = None
    drift: tuple[Mapping[str, int], Mapping[str, int]] = ({}, {})
    recordings: Mapping[str, int] = field(default_factory=dict)

    @property
    def start(self) -> datetime:
        return at(self.day.isoformat())

    @property
    def end(self) -> datetime:
        return self.start + self.days * ONE_DAY

    def tasks(self, *more: Task) -> list[Task]:
        """What is left of them; ``more`` are tasks of the same run."""
        states: dict[str, str | None] = dict.fromkeys(TASKS, "success")
        states |= self.states
        ended = self.ended or self.end + timedelta(minutes=5)
        failed = any(state in ("failed", "upstream_failed") for state in states.values())
        busy = any(state not in _OVER for state in states.values())
        run = Run(
            self.dag_id,
            self.run_id or f"scheduled__{self.start.isoformat()}_{next(_numbers)}",
            self.run_state or ("failed" if failed else "running" if busy else "success"),
            min(ended, self.end),
        )
        number = f"{next(_numbers):016x}"
        summaries = {
            "extract_calls": self._extract(number),
            "load_calls": self._load("calls", number),
            "enrich_calls": self._enrich(number),
            "load_details": self._load("details", number),
        }
        tasks = []
        for minute, (task_id, state) in enumerate(states.items()):
            task = Task(run, self.names.get(task_id, task_id), self.map_index, state)
            if state not in _NOT_STARTED:
                about, figures = summaries[task_id]
                summary = about | (figures if state == "success" else {})
                task = replace(task, summary=Summary.model_validate(summary))
            if state in _OVER:
                task = replace(task, ended=ended - timedelta(minutes=3 - minute))
            tasks.append(task)
        return [*tasks, *(replace(task, run=run) for task in more)]

    def _about(self, kind: str) -> dict[str, Any]:
        return {
            "kind": kind,
            "scope": f"{self.connection}/{self.scope}",
            "connection_id": self.connection,
            "interval": {"start": self.start.isoformat(), "end": self.end.isoformat()},
        }

    def _extract(self, number: str) -> tuple[dict[str, Any], dict[str, Any]]:
        total = sum(self.calls.values())
        each = [total // self.days] * self.days
        each[0] += total % self.days
        about = {
            **self._about("calls"),
            "selection": [],
            "agent_ids": None if self.scope == "all" else list(self.agent_ids or self.calls),
        }
        figures = {
            "manifest": f"file:///staging/{number}/calls.json",
            "requests": dict(self.requests),
            "agents": len(self.calls),
            "calls": total,
            "rejected": 0,
            "purged": self.purged,
            "drift": dict(self.drift[0]),
            "by_agent": dict(self.calls),
            "agent_names": dict(self.names_of_agents),
            "by_day": {
                (self.day + number * ONE_DAY).isoformat(): {
                    "calls": calls,
                    "purged": 0 if number else self.purged,
                }
                for number, calls in enumerate(each)
            },
        }
        return about, figures | ({"requests_per_hour": self.hour_limit} if self.hour_limit else {})

    def _enrich(self, number: str) -> tuple[dict[str, Any], dict[str, Any]]:
        fetched = sum(self.calls.values()) if self.fetched is None else self.fetched
        return self._about("details"), {
            "manifest": f"file:///staging/{number}/details.json",
            "requests": {"detail": fetched},
            "details": fetched,
            "fetched": fetched,
            "by_webhook": self.by_webhook,
            "vanished": 0,
            "rejected": 0,
            "drift": dict(self.drift[1]),
            "recordings": {k: v for k, v in self.recordings.items() if k != "deleted"},
        }

    def _load(self, kind: str, number: str) -> tuple[dict[str, Any], dict[str, Any]]:
        total = sum(self.calls.values())
        about = self._about("load") | {
            "manifest": f"file:///staging/{number}/{kind}.json",
            "manifest_kind": kind,
            "table": "project.dataset.calls",
        }
        return about, {
            "rows": total,
            "changed": total,
            "purged": self.purged if kind == "calls" else 0,
            "erased": self.erased if kind == "calls" else 0,
            "recordings_deleted": self.recordings.get("deleted", 0) if kind == "calls" else 0,
        }


def write(
    session: Any, tasks: Iterable[Task], *, serialize: Callable[[Any], Any] = lambda value: value
) -> None:
    """Write records to Airflow's database as its scheduler and workers do (Airflow 3).

    :param session: SQLAlchemy's.
    :param serialize: what the XCom backend makes of a value.
    """
    from airflow.models.dag import DagModel
    from airflow.models.dagbundle import DagBundleModel
    from airflow.models.dagrun import DagRun
    from airflow.models.taskinstance import TaskInstance
    from airflow.models.xcom import XComModel
    from sqlalchemy import insert, select

    tasks = list(tasks)
    if not tasks:
        return
    if not session.scalar(select(DagBundleModel.name).where(DagBundleModel.name == "tests")):
        session.execute(
            insert(DagBundleModel), [{"name": "tests", "active": True, "version": None}]
        )
    known = set(session.scalars(select(DagModel.dag_id)))
    for dag_id in sorted({task.run.dag_id for task in tasks} - known):
        session.add(DagModel(dag_id=dag_id, bundle_name="tests", is_stale=False))
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
    for table, rows in ((TaskInstance, instances), (XComModel, xcoms)):
        if rows:
            session.execute(insert(table), rows)
