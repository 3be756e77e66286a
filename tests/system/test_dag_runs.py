"""``airflow dags test`` of the shipped DAG."""

from __future__ import annotations

import hmac
import json
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from airflow_provider_talkpilot.bigquery.schema import target_schema
from tests.support.personal import found_in, secrets_of
from tests.support.tables import assert_equal_rows, expected_rows, spared_of
from tests.system.conftest import DAY, Services
from tests.system.running import DAG, Airflow

NEXT = DAY + timedelta(days=1)
TASKS = ("extract_calls", "load_calls", "enrich_calls", "load_details")


def test_a_day_is_in_the_table_as_the_api_has_it(
    airflow: Airflow, services: Services, tmp_path: Path
) -> None:
    events = tmp_path / "events.jsonl"
    transport = {"type": "file", "log_file_path": str(events), "append": True}
    settings = {"AIRFLOW__OPENLINEAGE__TRANSPORT": json.dumps(transport)}
    # A run by hand takes the interval that ends at its date.
    airflow.run_dag(DAG, f"{NEXT}", services.environment | settings)
    services.assert_table_is_truth(DAY)
    spent = services.sandbox.counters
    services.assert_details_fetched(services.truth(DAY))
    assert spent["agents"] + spent["calls"] + spent["performance"] == 1 + 2 + 2
    assert spent["refused"] == 0
    assert services.staging.exists()
    assert services.staged(DAG) == []
    assert_openlineage_has_all(services, events.read_text())


def assert_openlineage_has_all(services: Services, text: str) -> None:
    """The events name what each task read and wrote, and nothing of a caller."""
    done = {}
    for event in map(json.loads, text.splitlines()):
        if event["eventType"] == "COMPLETE":
            done[event["job"]["name"].removeprefix(f"{DAG}.")] = event

    api = f"talkpilot://{urlsplit(services.sandbox.base_url).netloc}"
    resource = urlsplit(services.sandbox.base_url).path.strip("/") + "/agents/{agentId}/calls"
    staged = f"{services.staging}/{DAG}/talkpilot_default/all"
    calls, details = ("file", f"{staged}/calls"), ("file", f"{staged}/details")
    table = ("bigquery", services.table)
    assert {
        task: (places(done[task], "inputs"), places(done[task], "outputs")) for task in TASKS
    } == {
        "extract_calls": ([(api, resource)], [calls]),
        "load_calls": ([calls], [table]),
        "enrich_calls": ([(api, f"{resource}/{{callId}}"), calls], [details]),
        "load_details": ([details], [table]),
    }
    truth = services.truth(DAY)
    rows = {"calls": len(truth), "details": len(truth) - len(spared_of(truth))}
    for task in TASKS:
        [output] = done[task]["outputs"]
        kind = "calls" if task in ("extract_calls", "load_calls") else "details"
        assert output["outputFacets"]["outputStatistics"]["rowCount"] == rows[kind], task
    for task in ("load_calls", "load_details"):
        assert "talkpilot-merge-" in done[task]["run"]["facets"]["externalQuery"]["externalQueryId"]
        [output] = done[task]["outputs"]
        fields = output["facets"]["schema"]["fields"]
        assert [(field["name"], field["type"], field["description"]) for field in fields] == [
            (column.name, column.field_type, column.description) for column in target_schema()
        ]
        [transcript] = [field for field in fields if field["name"] == "transcript"]
        assert [field["name"] for field in transcript["fields"]] == ["role", "text"]

    assert found_in(text, secrets_of(services.sandbox)) == set()


def places(event: dict[str, Any], which: str) -> list[tuple[str, str]]:
    return [(place["namespace"], place["name"]) for place in event[which]]


@pytest.mark.airflow3
@pytest.mark.slow
def test_the_last_hour_is_in_the_table_for_lists(airflow: Airflow, services: Services) -> None:
    end = datetime.combine(DAY, time(12), UTC)
    airflow.run_dag("talkpilot_calls_now", end.isoformat(), services.environment)
    hour = [
        call["id"]
        for call in services.truth(DAY)
        if end - timedelta(hours=1) <= datetime.fromisoformat(call["created_at"]) < end
    ]
    assert hour
    assert sorted(row["id"] for row in services.rows()) == sorted(hour)
    assert services.sandbox.counters["detail"] == services.sandbox.counters["performance"] == 0


@pytest.mark.airflow3
@pytest.mark.slow
def test_params_and_variables_choose(airflow: Airflow, services: Services) -> None:
    """Params choose the interval and turn details off; Variables choose columns and staging."""
    secret = "0123456789abcdef" * 4
    tag = "projects/p/locations/us/taxonomies/1/policyTags/2"
    settings = services.environment | {
        "AIRFLOW_VAR_TALKPILOT_KEEP_STAGED": "true",
        "AIRFLOW_VAR_TALKPILOT_COLUMNS": json.dumps({"phone_number": "hash", "note": "keep"}),
        "AIRFLOW_VAR_TALKPILOT_POLICY_TAGS": json.dumps({"phone_number": tag}),
        "AIRFLOW_CONN_TALKPILOT_HASH": json.dumps({"conn_type": "generic", "password": secret}),
    }
    end = NEXT + timedelta(days=1)
    params = {"start": f"{DAY}", "end": f"{end}", "enrich": False}
    output = airflow.run_dag(DAG, "2026-06-01", settings, **params)
    assert secret not in output
    assert "Details are turned off" in output

    truth = services.truth(DAY) + services.truth(NEXT)
    expected = expected_rows(truth, details=False, scores=True)
    for row in expected:
        if number := row["phone_number"]:
            row["phone_number"] = hmac.new(secret.encode(), number.encode(), "sha256").hexdigest()
    assert_equal_rows(services.rows(), expected)
    assert services.sandbox.counters["detail"] == 0
    assert len(services.staged(DAG)) == 4
