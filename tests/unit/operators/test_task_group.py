"""The task group: alone, mapped, and with arguments of single tasks."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import DAG, task_group

from airflow_provider_talkpilot.exceptions import TalkPilotArgumentError
from airflow_provider_talkpilot.operators.task_group import TalkPilotCallsTaskGroup, clean_behind

UPSTREAM = {
    "extract_calls": set(),
    "load_calls": {"extract_calls"},
    "extract_performance": {"extract_calls"},
    "load_performance": {"extract_performance", "load_calls"},
    "enrich_calls": {"extract_calls", "load_performance"},
    "load_details": {"enrich_calls", "load_calls"},
}
PLACES: dict[str, Any] = {"staging_uri": "file:///tmp/staging", "table": "project.dataset.calls"}


@pytest.fixture
def dag() -> Iterator[Any]:
    with DAG("chain", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC)) as dag:
        yield dag


def test_one_line_creates_the_whole_chain(dag: Any) -> None:
    group = TalkPilotCallsTaskGroup(**PLACES)
    assert group.clean_staging
    upstream = {
        task.task_id.partition(".")[2]: {each.partition(".")[2] for each in task.upstream_task_ids}
        for task in dag.tasks
    }
    assert upstream == UPSTREAM | {"clean_staging": UPSTREAM.keys()}


def test_every_argument_is_passed_to_the_tasks_that_have_it(dag: Any) -> None:
    given: dict[str, Any] = {
        **PLACES,
        "agent_ids": ["7b0a2f0c-0000-4000-8000-000000000001"],
        "start": "2026-03-01",
        "end": "2026-04-01",
        "columns": {"note": "drop"},
        "hash_conn_id": "secret",
        "confirm_erasure": True,
        "policy_tags": {"note": "projects/p/locations/eu/taxonomies/1/policyTags/2"},
        "talkpilot_conn_id": "talkpilot_north",
        "gcp_conn_id": "google_north",
        "location": "EU",
        "impersonation_chain": "loader@project.iam.gserviceaccount.com",
        "deferrable": False,
    }
    given |= {"details": "every_version", "performance": "off"}
    TalkPilotCallsTaskGroup(prefix_group_id=False, enrich=False, keep_staged=True, **given)
    for task in dag.tasks:
        names = set(given)
        if task.task_id in UPSTREAM.keys() - {"extract_calls", "load_calls"}:
            # They use the columns of their calls, and erase nothing.
            names -= {"columns", "confirm_erasure"}
        for name in names:
            assert getattr(task, name, given[name]) == given[name], (task.task_id, name)
    assert dag.get_task("enrich_calls").enrich is False
    assert dag.get_task("clean_staging").keep_staged is True


def test_what_is_not_given_comes_from_default_args(dag: Any) -> None:
    """Else a DAG of one organisation would silently use another's key, project and columns."""
    given: dict[str, Any] = {
        "columns": {"note": "drop"},
        "hash_conn_id": "secret",
        "talkpilot_conn_id": "talkpilot_north",
        "gcp_conn_id": "google_north",
        "location": "EU",
        "impersonation_chain": "loader@project.iam.gserviceaccount.com",
    }
    TalkPilotCallsTaskGroup(default_args=given, **PLACES)
    for task, name in itertools.product(dag.tasks, given):
        assert getattr(task, name, given[name]) == given[name], (task.task_id, name)


def test_the_dag_can_be_an_argument() -> None:
    dag = DAG("given", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC))
    TalkPilotCallsTaskGroup("group", dag=dag, **PLACES)
    assert {*dag.task_ids} == {f"group.{name}" for name in (*UPSTREAM, "clean_staging")}


def test_arguments_of_a_single_task(dag: Any) -> None:
    own = {
        "enrich_calls": {"concurrency": 4, "retries": 7},
        "clean_staging": {"retries": 1, "keep_staged": True},
    }
    TalkPilotCallsTaskGroup(prefix_group_id=False, task_arguments=own, **PLACES)
    assert dag.get_task("enrich_calls").concurrency == 4
    assert dag.get_task("clean_staging").keep_staged is True
    assert [dag.get_task(name).retries for name in own] == [7, 1]
    with pytest.raises(TalkPilotArgumentError, match="no task of the group"):
        TalkPilotCallsTaskGroup("again", task_arguments={"enrich": {}}, **PLACES)


def test_a_mapped_group_with_one_task_that_cleans(dag: Any) -> None:
    @task_group
    def one_month(start: str, end: str, agent_ids: list[str] | None) -> None:
        given: Any = {"start": start, "end": end, "agent_ids": agent_ids}
        TalkPilotCallsTaskGroup(prefix_group_id=False, clean=False, **given, **PLACES)

    month = {"start": "2026-01-01", "end": "2026-02-01", "agent_ids": None}
    months = one_month.expand_kwargs([month])
    extract = dag.get_task("extract_calls")
    extract.agent_ids = None  # as Airflow sets it when it expands the group
    assert extract.agent_ids is None
    clean = clean_behind(months, staging_uri=PLACES["staging_uri"])
    loads = {"load_calls", "load_details"}
    assert clean.upstream_task_ids >= loads
    assert clean.task_id == "clean_staging"
    with pytest.raises(TalkPilotArgumentError, match="what expand"):
        clean_behind(clean, staging_uri=PLACES["staging_uri"], task_id="again")
