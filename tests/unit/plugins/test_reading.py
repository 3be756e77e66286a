"""The page reads Airflow's database by few queries, and only of DAGs that the user may see."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import create_engine, event
from sqlalchemy.orm import Session

from tests.support.runs import ANNA, BERT, DAG, Sync, write

if TYPE_CHECKING:
    from airflow_provider_talkpilot.plugins.reading import Read

pytestmark = pytest.mark.airflow3  # the page is Airflow 3's

NOW = datetime(2026, 3, 20, 12, tzinfo=UTC)
SINCE = NOW - timedelta(days=400)
FIRST = date(2026, 3, 1)


@pytest.fixture
def session() -> Iterator[Session]:
    """A database with Airflow's tables, and nothing in them."""
    from airflow.models import import_all_models
    from airflow.models.base import Base

    import_all_models()
    engine = create_engine("sqlite://")
    Base.metadata.create_all(engine)
    with Session(engine) as session:
        yield session


def everything(dag_ids: set[str]) -> set[str]:
    return dag_ids


def read(session: Session, allowed: set[str] | None = None) -> Read:
    from airflow_provider_talkpilot.plugins.reading import read_tasks

    may_read = everything if allowed is None else allowed.intersection
    return read_tasks(session, SINCE, lambda dag_ids: set(may_read(dag_ids)))


def test_nothing_is_there(session: Session) -> None:
    assert read(session).tasks == []


def test_tasks_come_back_as_they_were_left(session: Session) -> None:
    failed = {"load_calls": "failed", "enrich_calls": None, "load_details": None}
    tasks = Sync(FIRST).tasks() + Sync(FIRST + timedelta(days=1), states=failed).tasks()
    write(session, tasks)
    found = read(session)
    assert not found.truncated

    assert {task.task_id for task in found.tasks} == {task.task_id for task in tasks}
    left = {(task.run.run_id, task.task_id): task for task in tasks}
    for task in found.tasks:
        wanted = left[task.run.run_id, task.task_id]
        assert (task.state, task.summary, task.returned, task.rendered) == (
            wanted.state,
            wanted.summary,
            wanted.returned,
            wanted.rendered,
        )


def test_dags_that_the_user_may_not_read_are_left_out(session: Session) -> None:
    write(session, Sync(FIRST).tasks() + Sync(FIRST, dag_id="theirs", calls={BERT: 1}).tasks())
    assert {task.run.dag_id for task in read(session, {DAG}).tasks} == {DAG}
    assert {task.run.dag_id for task in read(session).tasks} == {DAG, "theirs"}
    assert read(session, set()).tasks == []


def test_ten_thousand_runs_take_as_few_queries_as_one(session: Session) -> None:
    queries = 0

    def count(*_: object) -> None:
        nonlocal queries
        queries += 1

    write(session, Sync(FIRST, calls={ANNA: 1}).tasks())
    event.listen(session.get_bind(), "before_cursor_execute", count)
    read(session)
    for_one, queries = queries, 0
    event.remove(session.get_bind(), "before_cursor_execute", count)
    minute = timedelta(minutes=1)
    write(
        session,
        (
            task
            for number in range(10_000)
            for task in Sync(FIRST, calls={ANNA: 1}, ended=NOW - number * minute).tasks()
        ),
    )
    event.listen(session.get_bind(), "before_cursor_execute", count)
    found = read(session)
    assert len(found.tasks) == 4 * 10_001
    assert queries == for_one
