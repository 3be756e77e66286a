"""OpenLineage's events of the shipped DAG, as its provider writes them to a file."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from airflow_provider_talkpilot.bigquery.schema import target_schema
from tests.support.personal import found_in, secrets_of
from tests.system.conftest import DAY, Services
from tests.system.running import DAG, Airflow

pytestmark = pytest.mark.slow

TASKS = ("extract_calls", "load_calls", "enrich_calls", "load_details")


@pytest.fixture
def told(airflow: Airflow, services: Services, tmp_path: Path) -> Path:
    """Everything that OpenLineage was told of a run."""
    events = tmp_path / "events.jsonl"
    transport = {"type": "file", "log_file_path": str(events), "append": True}
    settings = {"AIRFLOW__OPENLINEAGE__TRANSPORT": json.dumps(transport)}
    end = (DAY + timedelta(days=1)).isoformat()
    airflow.run("dags", "test", DAG, end, settings=services.environment | settings)
    return events


def test_openlineage_is_told_what_was_read_and_written(services: Services, told: Path) -> None:
    done = {}
    for event in map(json.loads, told.read_text().splitlines()):
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
    rows = len(services.truth(DAY))
    for task in TASKS:
        [output] = done[task]["outputs"]
        assert output["outputFacets"]["outputStatistics"]["rowCount"] == rows, task
    for task in ("load_calls", "load_details"):
        assert "talkpilot-merge-" in done[task]["run"]["facets"]["externalQuery"]["externalQueryId"]
        [output] = done[task]["outputs"]
        fields = output["facets"]["schema"]["fields"]
        assert [(field["name"], field["type"], field["description"]) for field in fields] == [
            (column.name, column.field_type, column.description) for column in target_schema()
        ]
        [transcript] = [field for field in fields if field["name"] == "transcript"]
        assert [field["name"] for field in transcript["fields"]] == ["role", "text"]

    assert found_in(told.read_text(), secrets_of(services.sandbox)) == set()


def places(event: dict[str, Any], which: str) -> list[tuple[str, str]]:
    return [(place["namespace"], place["name"]) for place in event[which]]
