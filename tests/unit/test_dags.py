"""The shipped DAGs: they load with nothing around, and have the tasks that users were told of."""

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
from airflow.timetables.interval import CronDataIntervalTimetable

DAGS = Path(__file__).parents[2] / "dags"
FILES = sorted(DAGS.glob("*.py"))
RESYNC, DAILY = "talkpilot_resync_calls", "talkpilot_calls_to_bigquery"
NOW = "talkpilot_calls_now"
LOADS = {"load_calls": "talkpilot_calls", "load_details": "talkpilot_details"}


def load(name: str) -> Any:
    return runpy.run_path(str(DAGS / f"{name}.py"))["dag"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_file_stands_alone(path: Path) -> None:
    """Users copy it as it is: it needs Airflow and the provider, and no file beside it."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    modules = {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    homes = {module.partition(".")[0] for module in modules}
    assert homes <= {"__future__", "datetime", "airflow", "airflow_provider_talkpilot"}


def test_reading_the_files_imports_nothing_heavy() -> None:
    """Airflow reads DAG files all the time, and one more time at the start of each task."""
    code = (
        "import runpy, sys; [runpy.run_path(each) for each in sys.argv[1:]]; "
        "assert not {'google.cloud.bigquery', 'numpy', 'pandas'} & {*sys.modules}"
    )
    subprocess.run([sys.executable, "-c", code, *map(str, FILES)], check=True)


@pytest.mark.parametrize("name", [DAILY, RESYNC])
def test_what_both_have_in_common(name: str) -> None:
    dag = load(name)
    assert dag.dag_id == name
    assert not dag.catchup
    assert {"start", "end", "enrich"} <= set(dag.params)
    assert isinstance(dag.timetable, CronDataIntervalTimetable) or "CronDataInterval" in repr(
        type(dag.timetable)
    )
    assert dag.start_date == datetime(2026, 1, 1, tzinfo=UTC)
    assert dag.doc_md
    for task in dag.tasks:
        assert task.retries == 3
        assert task.doc_md
    for task, alias in LOADS.items():
        [outlet] = dag.get_task(task).outlets
        assert outlet == AssetAlias(alias)
    for task_id in ("extract_calls", "extract_performance", "enrich_calls"):
        assert dag.get_task(task_id).deferrable
    for task in dag.tasks:
        if hasattr(task, "location"):
            assert "talkpilot_bigquery_location" in task.location
    assert dag.get_task("load_calls").upstream_task_ids == {"extract_calls"}
    assert {"enrich_calls", "load_calls"} <= dag.get_task("load_details").upstream_task_ids


def test_the_calls_of_the_last_hour_cost_lists_alone() -> None:
    dag = load(NOW)
    assert dag.is_paused_upon_creation, "it is for those who receive webhooks"
    assert dag.max_active_runs == 1
    assert dag.get_task("enrich_calls").details == "by_webhook"
    assert dag.get_task("extract_performance").performance == "off"


def test_the_tasks_of_the_resync() -> None:
    dag = load(RESYNC)
    upstream = {task.task_id: task.upstream_task_ids for task in dag.tasks}
    assert upstream["choose_days"] == set()
    assert upstream["extract_calls"] == {"choose_days"}
    # Noted when each interval is through; where details are dropped, load_details is skipped.
    assert {"load_calls", "load_details"} <= upstream["note_days"]
    assert {"load_calls", "load_details"} <= upstream["clean_staging"]
    assert dag.get_task("note_days").trigger_rule == "none_failed_min_one_success"
    # Its intervals share one key and change one table.
    assert dag.max_active_runs == 1
    for task_id in ("extract_calls", "load_performance", *LOADS, "enrich_calls"):
        assert dag.get_task(task_id).max_active_tis_per_dag == 1


def test_the_resync_and_a_backfill_give_way_to_the_newest_day() -> None:
    for task in load(RESYNC).tasks:
        rule = task.weight_rule if isinstance(task.weight_rule, str) else repr(task.weight_rule)
        assert "absolute" in rule.lower()
        assert task.priority_weight == 0
    dag = load(DAILY)
    assert {task.priority_weight for task in dag.tasks} == {1}
    rules = {
        rule if isinstance(rule, str) else f"{type(rule).__module__}.{type(rule).__qualname__}"
        for rule in (task.weight_rule for task in dag.tasks)
    }
    assert rules == {"airflow_provider_talkpilot.operators.priority.ScheduledFirst"}
    for task_id in ("load_calls", "enrich_calls", "load_details"):
        assert dag.get_task(task_id).max_active_tis_per_dag == 1
