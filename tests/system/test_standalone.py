"""A whole Airflow: scheduler, API server, DAG processor, triggerer; driven over REST."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from airflow_provider_talkpilot.sandbox import BigQueryEmulator, Sandbox
from airflow_provider_talkpilot.sandbox.settings import fake_api_key
from tests.support.deliveries import CALL_ENDED
from tests.support.personal import found_in, secrets_of
from tests.support.tables import assert_equal_rows, expected_rows, spared_of
from tests.system.conftest import DAY, SCARCE_CALLS, Services, scarce_sandbox
from tests.system.rest import Standalone, run_of
from tests.system.running import DAG, REPOSITORY, SHIPPED_DAGS, Airflow, avoid_midnight, eventually

pytestmark = [pytest.mark.airflow3, pytest.mark.slow]

SCARCE_DAG = "talkpilot_scarce_quota"
DONE_DAG = "talkpilot_calls_done"
REPORT_DAG = "talkpilot_report"
ARRIVALS_DAG = "talkpilot_arrivals"
RUN_SECONDS = 900
THE_DAY = {"start": f"{DAY}T00:00:00Z", "end": f"{DAY + timedelta(days=1)}T00:00:00Z"}


class Stage:
    """A running Airflow, the services it talks to, and the ids of its runs by name."""

    def __init__(
        self, airflow: Standalone, services: Services, scarce: Services, staff: Sandbox
    ) -> None:
        self.airflow, self.services, self.scarce = airflow, services, scarce
        self.staff = staff
        self.runs: dict[str, str] = {}

    def trigger(self, name: str, dag: str, **body: Any) -> None:
        self.runs[name] = self.airflow.trigger(dag, **body)

    def require_success(self, name: str, dag: str = DAG) -> None:
        run = self.runs[name]
        assert self.airflow.end_of(dag, run, RUN_SECONDS) == "success", self.airflow.logs(dag, run)


@pytest.fixture(scope="module")
def stage(
    bigquery_emulator: BigQueryEmulator, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stage]:
    avoid_midnight()
    folder = tmp_path_factory.mktemp("standalone")
    dags = folder / "dags"
    shutil.copytree(SHIPPED_DAGS, dags, ignore=shutil.ignore_patterns("__pycache__"))
    for name in (SCARCE_DAG, DONE_DAG, ARRIVALS_DAG):
        shutil.copy(Path(__file__).parent / "dags" / f"{name}.py", dags)
    shutil.copy(REPOSITORY / "examples" / f"{REPORT_DAG}.py", dags)
    yesterday = datetime.now(UTC).date() - timedelta(days=1)
    days = [*(DAY + timedelta(days=n) for n in range(4)), yesterday]
    project, staging = bigquery_emulator.project, folder / "staging"
    with (
        Sandbox(days=days, calls_per_day=14, seed=7) as sandbox,
        scarce_sandbox() as scarce,
        Sandbox(seed=9, days=[DAY], calls_per_day=14, requests_per_minute=None) as staff,
    ):
        services = Services(sandbox, bigquery_emulator, f"{project}.standalone.calls", staging)
        scarce_services = Services(scarce, bigquery_emulator, f"{project}.scarce.calls", staging)
        # No other field could hold such a number by chance.
        numbers = (call["phone_number"] for call in scarce_services.truth(DAY))
        settings = {
            **services.environment,
            "AIRFLOW_CONN_TALKPILOT_SCARCE": json.dumps(scarce.connection),
            **_connections(staff),
            "AIRFLOW_VAR_SCARCE_TABLE": scarce_services.table,
            "AIRFLOW__LOGGING__LOGGING_LEVEL": "DEBUG",
            "TEST_PHONE_NUMBER": next(filter(None, numbers)),
        }
        airflow = Airflow(folder / "airflow", dags)
        with Standalone(airflow, settings) as standalone:
            yield Stage(standalone, services, scarce_services, staff)


def test_runs_and_their_intervals(stage: Stage) -> None:
    airflow, services = stage.airflow, stage.services
    for dag in (REPORT_DAG, ARRIVALS_DAG, DAG, SCARCE_DAG, DONE_DAG):
        airflow.unpause(dag)
    # Airflow drops the interval of a run without a logical date.
    stage.trigger("no interval", DAG, **run_of(DAY) | {"logical_date": None})
    stage.trigger("scarce", SCARCE_DAG, **run_of(DAY))
    stage.trigger("done", DONE_DAG, **run_of(DAY))

    # The scheduler creates the run of the last whole day by itself.
    def scheduled() -> dict[str, Any] | None:
        found = [run for run in airflow.runs(DAG) if run["run_type"] == "scheduled"]
        return found[0] if found else None

    run = eventually(scheduled, RUN_SECONDS, "a scheduled run", airflow.tail)
    stage.runs["scheduled"] = run["dag_run_id"]
    last_day = datetime.fromisoformat(run["data_interval_start"]).date()
    assert datetime.fromisoformat(run["data_interval_end"]).date() - last_day == timedelta(days=1)
    stage.require_success("scheduled")

    stage.trigger("interval", DAG, **run_of(DAY))
    stage.require_success("interval")
    start, end = (f"{DAY + timedelta(days=n)}T00:00:00Z" for n in (1, 3))
    stage.trigger("params", DAG, conf={"start": start, "end": end})
    stage.require_success("params")

    days = [last_day, *(DAY + timedelta(days=n) for n in range(3))]
    truth = [call for day in days for call in services.truth(day)]
    assert len(truth) >= 3 * 14
    services.assert_table_is_truth(*days)
    services.assert_details_fetched(truth)
    assert services.staging.exists()
    assert services.staged(DAG) == []


def test_other_dags_run_when_calls_and_details_have_arrived(stage: Stage) -> None:
    airflow, services = stage.airflow, stage.services
    sources = {stage.runs[name] for name in ("scheduled", "interval", "params")}

    def triggered(dag: str) -> list[dict[str, Any]] | None:
        """The events that triggered a DAG's runs, once all sources have sent theirs."""
        runs, events = airflow.runs(dag), list[dict[str, Any]]()
        for run in runs:
            path = f"dags/{dag}/dagRuns/{run['dag_run_id']}/upstreamAssetEvents"
            events += airflow.get(path)["asset_events"]
        has_ended = all(run["state"] in ("success", "failed") for run in runs)
        has_all = {event["source_run_id"] for event in events} >= sources
        return events if has_ended and has_all else None

    asset = "bigquery://" + services.table.replace(".", "/")
    uris = {"calls": asset, "details": f"{asset}?with=details"}
    for dag, kind in ((ARRIVALS_DAG, "calls"), (REPORT_DAG, "details")):
        events = eventually(partial(triggered, dag), RUN_SECONDS, dag, airflow.tail)
        assert {event["uri"] for event in events} == {uris[kind]}
        assert {run["state"] for run in airflow.runs(dag)} == {"success"}
        [of_a_day] = [e["extra"] for e in events if e["source_run_id"] == stage.runs["interval"]]
        truth = services.truth(DAY)
        rows = len(truth) - (len(spared_of(truth)) if kind == "details" else 0)
        assert of_a_day == {
            "kind": kind,
            "table": services.table,
            **THE_DAY,
            "connection_id": "talkpilot_default",
            "agents": services.sandbox.settings.agents,
            "rows": rows,
            "changed": rows,
            "erased": 0,
            "requests": rows if kind == "details" else 1 + 2,
        }

    figures = [
        airflow.returned(REPORT_DAG, task["dag_run_id"], "report", task["map_index"])
        for run in airflow.runs(REPORT_DAG)
        for task in airflow.task_instances(REPORT_DAG, run["dag_run_id"])
        if task["task_id"] == "report"
    ]
    calls = {each["start"]: each["calls"] for each in figures}
    live = [call for call in services.truth(DAY) if call["deleted_at"] is None]
    assert calls[THE_DAY["start"]] == len(live)
    assert len(calls) == len(sources)


def test_the_receiver_of_webhooks_is_off_unless_there_is_a_secret(stage: Stage) -> None:
    url = f"{stage.airflow.url}/talkpilot-webhook/"
    assert httpx.post(url, json=CALL_ENDED, timeout=60).status_code in (404, 405)
    health = httpx.get(f"{url}health", timeout=60)
    assert not health.headers["content-type"].startswith("application/j")


def test_a_run_without_an_interval_fails_with_one_clear_line(stage: Stage) -> None:
    run = stage.runs["no interval"]
    assert stage.airflow.end_of(DAG, run, RUN_SECONDS) == "failed"
    # A retry could not help, so there is none.
    log = stage.airflow.log(DAG, run, "extract_calls")
    assert "This run has no data interval" in log
    assert "trigger it with logical_date, data_interval_start and data_interval_end" in log
    states = stage.airflow.states(DAG, run)
    assert states.pop("extract_calls") == "failed"
    assert set(states.values()) == {"upstream_failed"}


def test_a_task_defers_when_the_hour_is_used_up_and_goes_on(stage: Stage) -> None:
    airflow, scarce = stage.airflow, stage.scarce
    run = stage.runs["scarce"]

    def deferred() -> dict[str, Any] | None:
        # The task resumes and defers again and again until the test resets the quota.
        if scarce.sandbox.counters["refused"] < 2:
            return None
        path = f"dags/{SCARCE_DAG}/dagRuns/{run}/taskInstances/enrich_calls"
        task: dict[str, Any] = airflow.get(path)
        return task if task["state"] == "deferred" else None

    task = eventually(deferred, RUN_SECONDS, "deferred", lambda: airflow.logs(SCARCE_DAG, run))
    assert task["try_number"] == 1, "a deferral costs no retry"
    before = sum(scarce.details_fetched().values())
    assert 0 < before < SCARCE_CALLS
    scarce.sandbox.reset_quota()
    stage.require_success("scarce", SCARCE_DAG)
    # This DAG reads no performance records, so no detail is spared.
    assert_equal_rows(scarce.rows(), expected_rows(scarce.truth(DAY)))
    assert scarce.details_fetched() == {call["id"]: 1 for call in scarce.truth(DAY)}
    assert "The task defers until then" in airflow.log(SCARCE_DAG, run, "enrich_calls")


def test_sensors_wait_until_staff_are_through(stage: Stage) -> None:
    airflow, staff, run = stage.airflow, stage.staff, stage.runs["done"]
    waiting = {"deferred": "deferred", "rescheduled": "up_for_reschedule"}

    def wait() -> bool | None:
        return airflow.states(DONE_DAG, run) == waiting or None

    eventually(wait, RUN_SECONDS, f"{waiting}", lambda: airflow.logs(DONE_DAG, run))
    spent = staff.counters_of(fake_api_key("deferred"))
    assert spent["agents"] == 1
    assert spent["calls"] > 3, "the worker poked once, then the triggerer did"

    truth = staff.store.truth(THE_DAY["start"], THE_DAY["end"])
    calls = [call for call in truth if call["deleted_at"] is None]
    for call in calls:
        staff.store.edit(call["id"], done=True)
    stage.require_success("done", DONE_DAG)
    for task in waiting:
        counts = {"calls": len(calls), "done": len(calls)}
        assert airflow.returned(DONE_DAG, run, task) == counts
    log = airflow.log(DONE_DAG, run, "deferred")
    assert log.count(" are done") > 1
    assert f"{len(calls)} are done" in log
    assert "HTTP Request" not in log


def test_no_key_and_no_caller_is_kept(stage: Stage) -> None:
    """In logs at DEBUG, XComs, rendered fields or anything else that Airflow keeps."""
    secrets = secrets_of(stage.services.sandbox, stage.scarce.sandbox, stage.staff)
    home = stage.airflow.airflow.home
    files = [path for path in home.rglob("*") if path.is_file()]
    logs = [path for path in files if path.suffix == ".log"]
    assert any(path.suffix == ".db" for path in files)
    assert any("DEBUG" in path.read_text().upper() for path in logs)
    # To prove the search: it finds the table's name, which is rendered, logged and returned.
    for suffix in (".db", ".log"):
        texts = [path.read_bytes() for path in files if path.suffix.startswith(suffix)]
        assert any(stage.services.table.encode() in text for text in texts)
    found = []
    for path in files:
        text = path.read_bytes().decode(errors="replace")
        # At DEBUG, Airflow's own supervisor logs the secrets that it masks from then on.
        lines = [line for line in text.splitlines() if "MaskSecret" not in line]
        kept = found_in("\n".join(lines), secrets)
        found += [f"{what} in {path.relative_to(home)}" for what in kept]
    assert not found, "\n".join(sorted(found)[:20])


def _connections(sandbox: Sandbox) -> dict[str, str]:
    """A connection for each sensor, with its own key, to count each sensor's requests."""
    connections = {}
    for task in ("deferred", "rescheduled"):
        connection = {**sandbox.connection, "password": sandbox.add_key(task)}
        connections[f"AIRFLOW_CONN_TALKPILOT_{task.upper()}"] = json.dumps(connection)
    return connections
