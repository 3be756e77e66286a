"""The page reads Airflow's database with few queries, and only DAGs that the user may read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import create_engine, event
from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session

from tests.support.runs import ANNA, BERT, CONNECTION, DAG, TASKS, Sync, write

if TYPE_CHECKING:
    from airflow_provider_talkpilot.plugins.reading import Read

pytestmark = pytest.mark.airflow3  # the page is Airflow 3's

NOW = datetime(2026, 3, 20, 12, tzinfo=UTC)
SINCE = NOW - timedelta(days=400)
FIRST = date(2026, 3, 1)


@pytest.fixture(scope="module")
def engine() -> Engine:
    """A database with Airflow's tables, and nothing in them."""
    from airflow.models import import_all_models
    from airflow.models.base import Base

    import_all_models()
    engine = create_engine("sqlite://")
    Base.metadata.create_all(engine)
    return engine


@pytest.fixture
def session(engine: Engine) -> Iterator[Session]:
    """A session whose rows disappear after the test."""
    with Session(engine) as session:
        yield session


def everything(dag_ids: set[str]) -> set[str]:
    return dag_ids


def read(session: Session, allowed: set[str] | None = None) -> Read:
    from airflow_provider_talkpilot.plugins.reading import read_tasks

    may_read = everything if allowed is None else allowed.intersection
    return read_tasks(session, SINCE, lambda dag_ids: set(may_read(dag_ids)))


def test_tasks_are_read_as_they_were_written(session: Session) -> None:
    assert read(session).tasks == []
    failed = {"load_calls": "failed", "enrich_calls": None, "load_details": None}
    tasks = Sync(FIRST).tasks() + Sync(FIRST + timedelta(days=1), states=failed).tasks()
    write(session, tasks)
    found = read(session)
    assert not found.truncated

    assert {task.task_id for task in found.tasks} == {task.task_id for task in tasks}
    left = {(task.run.run_id, task.task_id): task for task in tasks}
    for task in found.tasks:
        wanted = left[task.run.run_id, task.task_id]
        assert (task.state, task.summary) == (wanted.state, wanted.summary)


def test_dags_that_the_user_may_not_read_are_left_out(session: Session) -> None:
    write(session, Sync(FIRST).tasks() + Sync(FIRST, dag_id="theirs", calls={BERT: 1}).tasks())
    assert {task.run.dag_id for task in read(session, {DAG}).tasks} == {DAG}
    assert {task.run.dag_id for task in read(session).tasks} == {DAG, "theirs"}
    assert read(session, set()).tasks == []


def test_a_renamed_task_without_a_summary_is_found(session: Session) -> None:
    """Its earlier summary identifies it, not the operator's class."""
    names = {"extract_calls": "north.pull", "load_calls": "north.put"}
    waits = dict.fromkeys(("extract_calls", "load_calls"), "upstream_failed")
    write(session, Sync(FIRST, names=names).tasks())
    write(session, Sync(FIRST + timedelta(days=1), names=names, states=waits).tasks()[:2])
    found = [task for task in read(session).tasks if task.summary is None]
    assert sorted(task.task_id for task in found) == ["north.pull", "north.put"]


def test_other_tasks_that_push_a_summary_are_left_out(session: Session) -> None:
    theirs = [replace(task, task_id=f"poem_{task.task_id}") for task in Sync(FIRST).tasks()]
    write(session, Sync(FIRST).tasks())
    write(session, theirs, serialize=lambda _: "Roses are red")
    found = read(session)
    assert {task.task_id for task in found.tasks} == set(TASKS)
    assert found.unreadable == 0


@pytest.fixture
def object_storage(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """Airflow's own backend that keeps values in an object storage."""
    from airflow.providers.common.io.xcom import backend

    name = f"{backend.__name__}.XComObjectStorageBackend"
    monkeypatch.setenv("AIRFLOW__CORE__XCOM_BACKEND", name)
    monkeypatch.setenv("AIRFLOW__COMMON_IO__XCOM_OBJECTSTORAGE_PATH", tmp_path.as_uri())
    monkeypatch.setenv("AIRFLOW__COMMON_IO__XCOM_OBJECTSTORAGE_THRESHOLD", "0")
    caches = [backend._get_base_path, backend._get_threshold, backend._get_compression]
    for cached in caches:
        cached.cache_clear()
    yield tmp_path
    for cached in caches:
        cached.cache_clear()


def test_a_custom_xcom_backend_gives_the_summaries(session: Session, object_storage: Path) -> None:
    from airflow.providers.common.io.xcom.backend import XComObjectStorageBackend

    tasks = Sync(FIRST).tasks() + Sync(FIRST + timedelta(days=1)).tasks()
    write(session, tasks, serialize=XComObjectStorageBackend.serialize_value)
    files = [path for path in object_storage.rglob("*") if path.is_file()]
    assert len(files) == len(tasks)
    found = read(session)
    left = {(task.run.run_id, task.task_id): task.summary for task in tasks}
    assert {(task.run.run_id, task.task_id): task.summary for task in found.tasks} == left
    assert found.unreadable == 0

    files[0].unlink()  # as a bucket's lifecycle does
    found = read(session)
    assert sum(task.summary is None for task in found.tasks) == found.unreadable == 1


@pytest.mark.parametrize("backend", ["nowhere.to.be.Found", "tests.support.xcoms.Refusing"])
def test_summaries_that_the_backend_cannot_read_are_counted(
    session: Session,
    backend: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    write(session, Sync(FIRST).tasks())
    monkeypatch.setenv("AIRFLOW__CORE__XCOM_BACKEND", backend)
    found = read(session)
    assert all(task.summary is None for task in found.tasks)
    assert found.unreadable == len(TASKS)
    assert CONNECTION not in caplog.text


def test_many_runs_take_as_few_queries_as_one(session: Session) -> None:
    def count(runs: int) -> int:
        queries: list[object] = []
        event.listen(session.get_bind(), "before_cursor_execute", lambda *_: queries.append(_))
        assert len(read(session).tasks) == len(TASKS) * runs
        return len(queries)

    write(session, Sync(FIRST, calls={ANNA: 1}).tasks())
    for_one = count(1)
    ends = [NOW - timedelta(minutes=number) for number in range(300)]
    runs = [Sync(FIRST, calls={ANNA: 1}, ended=ended).tasks() for ended in ends]
    write(session, [task for run in runs for task in run])
    assert count(301) == for_one
