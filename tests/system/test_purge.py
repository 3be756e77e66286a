"""After a purge no trace of a caller is left: in the table, in staging, in Airflow's own files."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from tests.system.conftest import DAY, Services
from tests.system.running import DAG, Airflow

pytestmark = pytest.mark.slow

RESYNC = "talkpilot_resync_calls"
NUMBER, SAID, NAME = "+49 30 5550 7731", "Kennwort Vogelbeere", "Zaphod Vogelbeere"
NEXT = DAY + timedelta(days=1)
BOUNDS = {"start": f"{DAY}", "end": f"{NEXT}"}


def plant(services: Services) -> tuple[str, str]:
    """Give two callers unmistakable data; return the call to purge and the call to erase."""
    purged, erased = [c["id"] for c in services.truth(DAY) if not c["is_purged"]][:2]
    transcript = [{"role": "user", "text": f"It is {SAID}, call {NUMBER}."}]
    services.sandbox.store.edit(purged, phone_number=NUMBER, transcript=transcript)
    services.sandbox.store.edit(
        erased,
        phone_number=NUMBER,
        transcript=transcript,
        customer_name=NAME,
        note=SAID,
        call_summary=SAID,
        unknown_field=SAID,
    )
    return purged, erased


def places(airflow: Airflow, services: Services) -> Iterator[tuple[str, str]]:
    """Return every place where a trace could be, and its text."""
    for folder in (airflow.home, services.staging):
        for path in folder.rglob("*"):
            if path.is_file() and "hypothesis" not in str(path):
                yield str(path), path.read_bytes().decode(errors="replace")
    with services.bigquery.client() as client:
        for item in client.list_tables(services.table.rpartition(".")[0]):
            rows = [dict(row) for row in client.query(f"SELECT * FROM `{item.reference}`").result()]
            yield str(item.reference), json.dumps(rows, default=str, ensure_ascii=False)


def found(airflow: Airflow, services: Services) -> list[str]:
    """Return the places that have a trace of one of the callers."""
    traces = {trace for text in (NUMBER, SAID, NAME) for trace in (text, json.dumps(text)[1:-1])}
    return [
        place for place, text in places(airflow, services) if any(trace in text for trace in traces)
    ]


def test_nothing_outlives_its_purge(airflow: Airflow, services: Services) -> None:
    settings = services.environment | {"AIRFLOW__LOGGING__LOGGING_LEVEL": "DEBUG"}
    services.sandbox.settings.patch(requests_per_minute=None, requests_per_hour=None)
    purged, erased = plant(services)

    # A run that fails after it staged its details leaves its files there.
    broken = settings | {"AIRFLOW_VAR_TALKPILOT_POLICY_TAGS": '{"no_such_column": "tag"}'}
    with pytest.raises(AssertionError, match="ended with 1") as failed:
        airflow.run_dag(DAG, f"{NEXT}", broken)
    output = [str(failed.value)]
    assert found(airflow, services), output[-1]
    assert all(Path(place).is_relative_to(services.staging) for place in found(airflow, services))

    output.append(airflow.run_dag(DAG, "2026-04-01", settings, **BOUNDS))
    assert services.table in found(airflow, services)

    services.sandbox.store.purge(purged)
    services.sandbox.store.erase(erased)
    output.append(airflow.run_dag(RESYNC, "2026-04-02", settings, **BOUNDS))
    assert found(airflow, services) == []
    assert not any(trace in text for text in output for trace in (NUMBER, SAID, NAME))

    rows = {row["id"]: row for row in services.rows()}
    assert (rows[purged]["phone_number"], rows[purged]["transcript"]) == (None, [])
    assert rows[erased]["erased_at"] is not None
    left = {place for place, _ in places(airflow, services) if "staging" in place}
    assert not [place for place in left if "_staging_" in place], "no staging table is left"
