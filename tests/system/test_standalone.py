"""A whole Airflow: scheduler, API server, DAG processor, triggerer; driven over REST."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_talkpilot.sandbox import BigQueryEmulator, Sandbox
from airflow_provider_talkpilot.sandbox.settings import fake_api_key
from tests.support.personal import found_in, secrets_of
from tests.support.tables import assert_equal_rows, expected_rows, spared_of
from tests.system.conftest import DAY, Services
from tests.system.running import (
    DAG,
    REPOSITORY,
    SHIPPED_DAGS,
    Airflow,
    Standalone,
    avoid_midnight,
    eventually,
)

pytestmark = [pytest.mark.airflow3, pytest.mark.slow]

SCARCE_DAG = "talkpilot_scarce_quota"
DONE_DAG = "talkpilot_calls_done"
REPORT_DAG = "talkpilot_report"
# Scheduled on the table's assets, by what it is that arrived.
ARRIVED_DAGS = {"calls": "talkpilot_calls_arrived", "details": "talkpilot_details_arrived"}
RUN_SECONDS = 400
# Of the scarce key: the details of 30 calls do not fit in beside the lists.
SCARCE_HOUR, SCARCE_CALLS, RETRY_AFTER = 24, 30, 6


class Stage:
    """A running Airflow, the services it talks to, and what its runs were."""

    def __init__(
        self, airflow: Standalone, services: Services, scarce: Services, staff: Sandbox
    ) -> None:
        self.airflow, self.services, self.scarce = airflow, services, scarce
        self.staff = staff
        self.runs: dict[str, str] = {}

    def trigger(self, name: str, dag: str, **body: Any) -> None:
        self.runs[name] = self.airflow.trigger(dag, **body)

    def end_of(self, name: str, dag: str = DAG) -> str:
        return self.airflow.end_of(dag, self.runs[name], RUN_SECONDS)


@pytest.fixture(scope="module")
def stage(
    bigquery_emulator: BigQueryEmulator, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stage]:
    avoid_midnight()
    folder = tmp_path_factory.mktemp("standalone")
    dags = folder / "dags"
    shutil.copytree(SHIPPED_DAGS, dags, ignore=shutil.ignore_patterns("__pycache__"))
    for name in (SCARCE_DAG, DONE_DAG, "talkpilot_arrivals"):
        shutil.copy(Path(__file__).parent / "dags" / f"{name}.py", dags)
    shutil.copy(REPOSITORY / "examples" / f"{REPORT_DAG}.py", dags)
    yesterday = datetime.now(UTC).date() - timedelta(days=1)
    days = [*(DAY + timedelta(days=n) for n in range(4)), yesterday]
    project, staging = bigquery_emulator.project, folder / "staging"
    with (
        Sandbox(days=days, calls_per_day=14, seed=7) as sandbox,
        Sandbox(
            seed=8,
            days=[DAY],
            calls_per_day=SCARCE_CALLS,
            requests_per_minute=None,
            requests_per_hour=SCARCE_HOUR,
            hour_seconds=1e6,  # it ends when the test gives the quota back
            retry_after_override=RETRY_AFTER,
        ) as scarce,
        Sandbox(seed=9, days=[DAY], calls_per_day=14, requests_per_minute=None) as staff,
    ):
        services = Services(sandbox, bigquery_emulator, f"{project}.standalone.calls", staging)
        scarce_services = Services(scarce, bigquery_emulator, f"{project}.scarce.calls", staging)
        settings = {
            **services.environment,
            "AIRFLOW_CONN_TALKPILOT_SCARCE": json.dumps(scarce.connection),
            **_connections(staff),
            "AIRFLOW_VAR_SCARCE_TABLE": scarce_services.table,
            "AIRFLOW__LOGGING__LOGGING_LEVEL": "DEBUG",
            "TEST_PHONE_NUMBER": _phone_number(scarce_services),
        }
        airflow = Airflow(folder / "airflow", dags)
        with Standalone(airflow, settings) as standalone:
            yield Stage(standalone, services, scarce_services, staff)


def test_runs_and_their_intervals(stage: Stage) -> None:
    airflow, services = stage.airflow, stage.services
    for dag in (REPORT_DAG, *ARRIVED_DAGS.values(), DAG, SCARCE_DAG, DONE_DAG):
        airflow.unpause(dag)
    stage.trigger("no interval", DAG)
    stage.trigger("scarce", SCARCE_DAG, **_interval(DAY))
    stage.trigger("done", DONE_DAG, **_interval(DAY))

    # Unpaused, the scheduler makes the run of the last whole day by itself.
    def scheduled() -> dict[str, Any] | None:
        found = [run for run in airflow.runs(DAG) if run["run_type"] == "scheduled"]
        return found[0] if found else None

    run = eventually(scheduled, RUN_SECONDS, "a scheduled run", airflow.tail)
    stage.runs["scheduled"] = run["dag_run_id"]
    last_day = datetime.fromisoformat(run["data_interval_start"]).date()
    assert datetime.fromisoformat(run["data_interval_end"]).date() - last_day == timedelta(days=1)
    assert stage.end_of("scheduled") == "success", airflow.logs(DAG, run["dag_run_id"])

    stage.trigger("interval", DAG, **_interval(DAY))
    assert stage.end_of("interval") == "success", airflow.logs(DAG, stage.runs["interval"])
    params = {"start": _text(DAY + timedelta(days=1)), "end": _text(DAY + timedelta(days=3))}
    stage.trigger("params", DAG, conf=params)
    assert stage.end_of("params") == "success", airflow.logs(DAG, stage.runs["params"])

    links = airflow.get(
        f"dags/{DAG}/dagRuns/{stage.runs['interval']}/taskInstances/load_calls/links"
    )["extra_links"]
    assert services.table.split(".")[1] in links["BigQuery table"]
    assert "talkpilot-merge-" in links["BigQuery job"]

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
        """The events that a DAG's runs were triggered by, once all runs have told of theirs."""
        runs = airflow.runs(dag)
        if not all(run["state"] in ("success", "failed") for run in runs):
            return None
        events = [event for run in runs for event in _events(airflow, dag, run["dag_run_id"])]
        return events if {event["source_run_id"] for event in events} >= sources else None

    asset = "bigquery://" + services.table.replace(".", "/")
    uris = {"calls": asset, "details": f"{asset}?with=details"}
    for dag, kind in {REPORT_DAG: "details", **{v: k for k, v in ARRIVED_DAGS.items()}}.items():
        events = eventually(partial(triggered, dag), RUN_SECONDS, dag, airflow.tail)
        assert {event["uri"] for event in events} == {uris[kind]}
        assert {run["state"] for run in airflow.runs(dag)} == {"success"}
        [of_a_day] = [e["extra"] for e in events if e["source_run_id"] == stage.runs["interval"]]
        truth = services.truth(DAY)
        rows = len(truth) - (len(spared_of(truth)) if kind == "details" else 0)
        assert of_a_day == {
            "kind": kind,
            "table": services.table,
            "start": _text(DAY),
            "end": _text(DAY + timedelta(days=1)),
            "connection_id": "talkpilot_default",
            "agents": services.sandbox.settings.agents,
            "rows": rows,
            "changed": rows,
            "erased": 0,
            "requests": rows if kind == "details" else 1 + 2,
        }

    calls = {}
    for run in airflow.runs(REPORT_DAG):
        tasks = f"dags/{REPORT_DAG}/dagRuns/{run['dag_run_id']}/taskInstances"
        for task in airflow.get(tasks)["task_instances"]:
            if task["task_id"] == "report":
                path = f"{tasks}/report/xcomEntries/return_value?map_index={task['map_index']}"
                found = airflow.get(path)["value"]
                figures = found if isinstance(found, dict) else json.loads(found)
                calls[figures["start"]] = figures["calls"]
    live = [call for call in services.truth(DAY) if call["deleted_at"] is None]
    assert calls[_text(DAY)] == len(live)
    assert len(calls) == len(sources)


def test_a_run_without_an_interval_fails_with_one_clear_line(stage: Stage) -> None:
    assert stage.end_of("no interval") == "failed"
    run = stage.runs["no interval"]
    # Nothing to be gained from a retry, so there is none.
    log = stage.airflow.log(DAG, run, "extract_calls")
    assert "This run has no data interval" in log
    assert "trigger it with data_interval_start and data_interval_end" in log
    states = stage.airflow.states(DAG, run)
    assert states.pop("extract_calls") == "failed"
    assert set(states.values()) == {"upstream_failed"}


def test_a_task_defers_when_the_hour_is_used_up_and_goes_on(stage: Stage) -> None:
    airflow, scarce = stage.airflow, stage.scarce
    run = stage.runs["scarce"]

    def deferred() -> dict[str, Any] | None:
        # Until the test gives the quota back, it resumes and defers again and again.
        if scarce.sandbox.counters["refused"] < 2:
            return None
        path = f"dags/{SCARCE_DAG}/dagRuns/{run}/taskInstances/enrich_calls"
        task: dict[str, Any] = airflow.get(path)
        return task if task["state"] == "deferred" else None

    task = eventually(deferred, RUN_SECONDS, "deferred", lambda: airflow.logs(SCARCE_DAG, run))
    assert task["try_number"] == 1, "to wait for the quota is no try"
    before = sum(scarce.details_fetched().values())
    assert 0 < before < SCARCE_CALLS
    scarce.sandbox.reset_quota()
    assert stage.end_of("scarce", SCARCE_DAG) == "success", airflow.logs(SCARCE_DAG, run)
    # No performance records are read here, so no detail is spared.
    assert_equal_rows(scarce.rows(), expected_rows(scarce.truth(DAY)))
    assert scarce.details_fetched() == {call["id"]: 1 for call in scarce.truth(DAY)}
    assert "The task defers until then" in airflow.log(SCARCE_DAG, run, "enrich_calls")


def test_sensors_wait_until_staff_are_through(stage: Stage) -> None:
    airflow, staff, run = stage.airflow, stage.staff, stage.runs["done"]
    waiting = {"deferred": "deferred", "rescheduled": "up_for_reschedule", "given_up": "skipped"}

    def wait() -> bool | None:
        return airflow.states(DONE_DAG, run) == waiting or None

    eventually(wait, RUN_SECONDS, f"{waiting}", lambda: airflow.logs(DONE_DAG, run))
    spent = {task: staff.counters_of(fake_api_key(task)) for task in waiting}
    assert spent["deferred"]["agents"] == 1
    # The first poke was the worker's, the others are the triggerer's.
    assert spent["deferred"]["calls"] > 3
    assert spent["given_up"]["calls"] > 0

    calls = [call for call in staff.truth(*_bounds(DAY)) if call["deleted_at"] is None]
    for call in calls:
        staff.edit(call["id"], done=True)
    assert stage.end_of("done", DONE_DAG) == "success", airflow.logs(DONE_DAG, run)
    assert airflow.states(DONE_DAG, run) == {
        "deferred": "success",
        "rescheduled": "success",
        "given_up": "skipped",
    }
    counts = {"calls": len(calls), "done": len(calls)}
    for task in ("deferred", "rescheduled"):
        found = airflow.get(
            f"dags/{DONE_DAG}/dagRuns/{run}/taskInstances/{task}/xcomEntries/return_value"
        )
        assert found["value"] in (counts, json.dumps(counts)), found
    log = airflow.log(DONE_DAG, run, "deferred")
    assert log.count(" are done") > 1
    assert f"{len(calls)} are done" in log
    assert "HTTP Request" not in log
    # Airflow may have lost the first try's end, and have tried again.
    given_up = airflow.get(f"dags/{DONE_DAG}/dagRuns/{run}/taskInstances/given_up")
    log = airflow.log(DONE_DAG, run, "given_up", given_up["try_number"])
    assert "The sensor has timed out" in log, given_up


def test_no_key_and_no_caller_is_kept(stage: Stage) -> None:
    """In logs at DEBUG, XComs, rendered fields or anything else that Airflow keeps."""
    secrets = secrets_of(stage.services.sandbox, stage.scarce.sandbox, stage.staff)
    home = stage.airflow.airflow.home
    files = [path for path in home.rglob("*") if path.is_file()]
    logs = [path for path in files if path.suffix == ".log"]
    assert any(path.suffix == ".db" for path in files)
    assert any("DEBUG" in path.read_text().upper() for path in logs)
    # The search finds at least a table's name, as rendered, logged and returned.
    for suffix in (".db", ".log"):
        texts = [path.read_bytes() for path in files if path.suffix.startswith(suffix)]
        assert any(stage.services.table.encode() in text for text in texts)
    found = []
    for path in files:
        text = path.read_bytes().decode(errors="replace")
        # At DEBUG, Airflow's own supervisor shows what it masks from then on.
        lines = [line for line in text.splitlines() if "MaskSecret" not in line]
        kept = found_in("\n".join(lines), secrets)
        found += [f"{what} in {path.relative_to(home)}" for what in kept]
    assert not found, "\n".join(sorted(found)[:20])


def _connections(sandbox: Sandbox) -> dict[str, str]:
    """A connection for each sensor, with a key of its own, so that each one's requests show."""
    connections = {}
    for task in ("deferred", "rescheduled", "given_up"):
        connection = {**sandbox.connection, "password": sandbox.add_key(task)}
        connections[f"AIRFLOW_CONN_TALKPILOT_{task.upper()}"] = json.dumps(connection)
    return connections


def _events(airflow: Standalone, dag: str, run: str) -> list[dict[str, Any]]:
    """The asset events that a run was triggered by."""
    return list(airflow.get(f"dags/{dag}/dagRuns/{run}/upstreamAssetEvents")["asset_events"])


def _bounds(day: date) -> tuple[str, str]:
    return _text(day), _text(day + timedelta(days=1))


def _interval(day: date) -> dict[str, Any]:
    start, end = _bounds(day)
    return {"logical_date": start, "data_interval_start": start, "data_interval_end": end}


def _text(day: date) -> str:
    return f"{day}T00:00:00Z"


def _phone_number(services: Services) -> str:
    """A number that no other field could hold by chance."""
    return next(str(call["phone_number"]) for call in services.truth(DAY) if call["phone_number"])
