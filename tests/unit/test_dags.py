"""The shipped DAGs stand alone, and have the tasks and settings that the docs name."""

from __future__ import annotations

import ast
import runpy
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AssetAlias

from airflow_provider_talkpilot.api.errors import IntervalError
from airflow_provider_talkpilot.operators.arguments import read_interval

DAGS = Path(__file__).parents[2] / "dags"
EXAMPLES = DAGS.with_name("examples")
FILES = sorted(DAGS.glob("*.py"))
RESYNC, DAILY = "talkpilot_resync_calls", "talkpilot_calls_to_bigquery"
LOCATION = "talkpilot_bigquery_location"
LOADS = {"load_calls": "talkpilot_calls", "load_details": "talkpilot_details"}


def load(name: str) -> Any:
    return runpy.run_path(str(DAGS / f"{name}.py"))["dag"]


def rule_of(task: Any) -> str:
    """Return the name of a task's weight rule: a text, or an object in its place."""
    rule = task.weight_rule
    return rule if isinstance(rule, str) else f"{type(rule).__module__}.{type(rule).__qualname__}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_file_stands_alone(path: Path) -> None:
    """Users copy it as it is. It needs Airflow and the provider, and no file beside it."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    modules = {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    packages = {module.partition(".")[0] for module in modules}
    assert packages <= {"__future__", "datetime", "airflow", "airflow_provider_talkpilot"}


def test_reading_the_files_imports_nothing_heavy() -> None:
    """Airflow reads DAG files all the time, and once more at the start of each task."""
    code = (
        "import runpy, sys; [runpy.run_path(each) for each in sys.argv[1:]]; "
        "assert not {'google.cloud.bigquery', 'numpy', 'pandas'} & {*sys.modules}"
    )
    subprocess.run([sys.executable, "-c", code, *map(str, FILES)], check=True)


def test_a_manual_run_without_a_date_has_no_interval() -> None:
    """Airflow 3 leaves the interval out of the context."""
    task = load("talkpilot_calls_now").get_task("extract_calls")
    for name in ("start", "end"):
        setattr(task, name, task.render_template(getattr(task, name), {}))
    with pytest.raises(IntervalError, match="This run has no data interval"):
        read_interval({}, task.start, task.end)


@pytest.mark.parametrize("name", [DAILY, RESYNC])
def test_what_the_daily_dag_and_the_resync_have_in_common(name: str) -> None:
    dag = load(name)
    assert dag.dag_id == name
    assert not dag.catchup
    assert {"start", "end", "enrich"} <= set(dag.params)
    assert "CronDataInterval" in repr(type(dag.timetable))
    assert dag.start_date == datetime(2026, 1, 1, tzinfo=UTC)
    assert dag.doc_md
    for task in dag.tasks:
        assert task.retries == 3
        assert task.doc_md
        assert LOCATION in getattr(task, "location", LOCATION)
    for task_id, alias in LOADS.items():
        assert dag.get_task(task_id).outlets == [AssetAlias(alias)]
    for task_id in ("extract_calls", "extract_performance", "enrich_calls"):
        assert dag.get_task(task_id).deferrable
    assert dag.get_task("load_calls").upstream_task_ids == {"extract_calls"}
    assert {"enrich_calls", "load_calls"} <= dag.get_task("load_details").upstream_task_ids


def test_the_dag_of_the_last_hour_requests_only_lists() -> None:
    dag = load("talkpilot_calls_now")
    assert dag.is_paused_upon_creation, "it is for users who receive webhooks"
    assert dag.max_active_runs == 1
    assert dag.get_task("enrich_calls").details == "by_webhook"
    assert dag.get_task("extract_performance").performance == "off"


def test_the_tasks_of_the_resync() -> None:
    dag = load(RESYNC)
    upstream = {task.task_id: task.upstream_task_ids for task in dag.tasks}
    assert upstream["choose_days"] == set()
    assert upstream["extract_calls"] == {"choose_days"}
    # If details are dropped, load_details is skipped, and the days are stored all the same.
    for task_id in ("note_days", "clean_staging"):
        assert upstream[task_id] >= LOADS.keys()
    assert dag.get_task("note_days").trigger_rule == "none_failed_min_one_success"
    # Its intervals share one key and change one table.
    assert dag.max_active_runs == 1
    for task_id in ("extract_calls", "load_performance", *LOADS, "enrich_calls"):
        assert dag.get_task(task_id).max_active_tis_per_dag == 1


def test_the_tasks_of_the_newest_day_start_first() -> None:
    for task in load(RESYNC).tasks:
        assert "absolute" in rule_of(task).lower()
        assert task.priority_weight == 0
    for task in load(DAILY).tasks:
        assert rule_of(task) == "airflow_provider_talkpilot.operators.priority.ScheduledFirst"
        assert task.priority_weight == 1
    for task_id in (*LOADS, "enrich_calls"):
        assert load(DAILY).get_task(task_id).max_active_tis_per_dag == 1


def test_organisations_do_not_wait_for_each_others_quota() -> None:
    """Airflow 3.3 counts a task that is deferred among those that run at once."""
    example = runpy.run_path(str(EXAMPLES / "talkpilot_organisations.py"))
    tasks = {task.task_id: task for task in example["one_each"].iter_tasks()}
    for task_id in ("extract_calls", "extract_performance", "enrich_calls"):
        assert tasks[task_id].max_active_tis_per_dag is None
    for task_id in ("load_performance", *LOADS):
        assert tasks[task_id].max_active_tis_per_dag == 1, "the first events of two may collide"
