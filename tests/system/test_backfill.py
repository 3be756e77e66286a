"""A backfill of six days in a running Airflow, and a new day in the middle of it.

``make test-backfill`` takes ninety days, with an hourly limit that makes tasks defer.
"""

from __future__ import annotations

import logging
import os
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from airflow_provider_talkpilot.sandbox import BigQueryEmulator, Sandbox
from tests.support.tables import assert_equal_rows, expected_rows, spared_of
from tests.system.conftest import Services
from tests.system.rest import Standalone, run_of
from tests.system.running import DAG, Airflow, avoid_midnight, eventually

pytestmark = [pytest.mark.airflow3, pytest.mark.slow]
log = logging.getLogger(__name__)

DAYS = int(os.environ.get("TALKPILOT_BACKFILL_DAYS", "6"))
IS_LONG = DAYS > 6
FIRST, LAST = date(2026, 1, 1), date(2026, 1, 1) + timedelta(days=DAYS - 1)
NEWEST = LAST + timedelta(days=1)
CALLS_A_DAY, ACTIVE_RUNS = 14, 4
# The key's minute and hour are scaled down: a day's details take five seconds. A wait over two
# minutes defers.
LIMITS: dict[str, Any] = {"requests_per_minute": 30, "minute_seconds": 10.0}
SCARCE: dict[str, Any] = {"requests_per_hour": 500, "hour_seconds": 180.0}
SECONDS = 2400 if IS_LONG else 900


@dataclass(frozen=True)
class Backfill:
    """The runs and tasks of a backfill, and of a day in the middle of it, after their end."""

    services: Services
    runs: list[dict[str, Any]]
    tasks: list[dict[str, Any]]

    def runs_of(self, kind: str) -> list[dict[str, Any]]:
        """The runs of a kind: ``backfill``, ``scheduled``, ``manual``."""
        return [run for run in self.runs if run["run_type"] == kind]

    def tasks_of(self, kind: str, task_id: str) -> list[dict[str, Any]]:
        runs = {run["dag_run_id"] for run in self.runs_of(kind)}
        return [t for t in self.tasks if t["task_id"] == task_id and t["dag_run_id"] in runs]


@pytest.fixture(scope="module")
def backfill(
    bigquery_emulator: BigQueryEmulator, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Backfill]:
    avoid_midnight()
    folder = tmp_path_factory.mktemp("backfill")
    yesterday = datetime.now(UTC).date() - timedelta(days=1)
    days = [*(FIRST + timedelta(days=n) for n in range(DAYS + 1)), yesterday]
    limits = LIMITS | (SCARCE if IS_LONG else {"requests_per_hour": None})
    with Sandbox(days=days, calls_per_day=CALLS_A_DAY, seed=11, **limits) as sandbox:
        table = f"{bigquery_emulator.project}.backfill.calls"
        services = Services(sandbox, bigquery_emulator, table, folder / "staging")
        airflow = Airflow(folder / "airflow")
        # Before the scheduler runs, because two programs at once lock a SQLite.
        airflow.run("db", "migrate")
        airflow.run("dags", "reserialize", settings=services.environment)
        command = ["backfill", "create", "--dag-id", DAG, "--max-active-runs", str(ACTIVE_RUNS)]
        airflow.run(*command, "--from-date", FIRST.isoformat(), "--to-date", LAST.isoformat())
        with Standalone(airflow, services.environment) as standalone:
            yield _run(standalone, services)


def _run(airflow: Standalone, services: Services) -> Backfill:
    airflow.unpause(DAG)
    began = time.monotonic()
    eventually(lambda: _has_started(airflow) or None, SECONDS, "details come", airflow.tail, 1)
    # A day that is newer than all others. The name of its run does not tell its kind.
    came_at = time.monotonic()
    newest = airflow.trigger(DAG, dag_run_id="newest", **run_of(NEWEST))
    assert airflow.end_of(DAG, newest, SECONDS) == "success", airflow.logs(DAG, newest)
    newest_took = time.monotonic() - came_at

    def ended() -> list[dict[str, Any]] | None:
        runs = airflow.runs(DAG)
        return runs if all(run["state"] in ("success", "failed") for run in runs) else None

    # Seldom, because each look takes something of the machine from the tasks.
    runs = eventually(ended, SECONDS, "all runs end", airflow.tail, 3)
    log.info(
        "%d days with %d calls each in %.0f s; the newest day took %.0f s; requests: %s",
        DAYS,
        CALLS_A_DAY,
        time.monotonic() - began,
        newest_took,
        dict(services.sandbox.counters),
    )
    tasks = [task for run in runs for task in airflow.task_instances(DAG, run["dag_run_id"])]
    return Backfill(services, runs, tasks)


def _has_started(airflow: Standalone) -> bool:
    """Whether the backfill fetches details."""
    return any(
        task["start_date"] is not None
        for task in airflow.task_instances(DAG, "~")
        if task["task_id"] == "enrich_calls" and task["dag_run_id"].startswith("backfill__")
    )


def test_every_day_is_in_the_table_once(backfill: Backfill) -> None:
    assert Counter((run["run_type"], run["state"]) for run in backfill.runs) == {
        ("backfill", "success"): DAYS,
        ("manual", "success"): 1,
        ("scheduled", "success"): 1,
    }
    truth = backfill.services.sandbox.store.truth("2026-01-01", "2100-01-01")
    assert len(truth) == (DAYS + 2) * CALLS_A_DAY
    wanted = expected_rows(truth, spared=spared_of(truth))
    assert_equal_rows(backfill.services.rows(), wanted)
    assert backfill.services.staged(DAG) == []


def test_the_quota_is_shared(backfill: Backfill) -> None:
    sandbox = backfill.services.sandbox
    backfill.services.assert_details_fetched(sandbox.store.truth("2026-01-01", "2100-01-01"))
    if not IS_LONG:
        spent = Counter(request.kind for request in sandbox.requests if request.status == 200)
        assert spent["agents"] == DAYS + 2
        assert spent["calls"] == 2 * (DAYS + 2), "two agents, one page each"
        # The first request of a task is refused if others used up the minute.
        assert sandbox.counters["refused"] <= 2 * (DAYS + 2)


def test_several_runs_at_once_and_one_of_them_fetches_details(backfill: Backfill) -> None:
    assert _most_at_once(backfill.runs_of("backfill")) == ACTIVE_RUNS
    assert _most_at_once(t for t in backfill.tasks if t["task_id"] == "enrich_calls") == 1


def test_the_newest_day_does_not_wait_for_the_backfill(backfill: Backfill) -> None:
    for kind, weight in (("scheduled", 1), ("manual", 0), ("backfill", -1)):
        tasks = backfill.tasks_of(kind, "extract_calls") + backfill.tasks_of(kind, "load_calls")
        assert {task["priority_weight"] for task in tasks} == {weight}
    [newest] = backfill.tasks_of("manual", "enrich_calls")
    others = backfill.tasks_of("backfill", "enrich_calls")
    went_before = [
        task
        for task in others
        if newest["scheduled_when"] < task["queued_when"] < newest["queued_when"]
    ]
    assert went_before == []


def _most_at_once(ended: Iterable[dict[str, Any]]) -> int:
    """How many runs or tasks ran at the same time at the most."""
    steps = sorted(step for e in ended for step in ((e["start_date"], 1), (e["end_date"], -1)))
    at_once, most = 0, 0
    for _, step in steps:
        at_once += step
        most = max(most, at_once)
    return most
