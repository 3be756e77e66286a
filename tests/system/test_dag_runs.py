"""``airflow dags test`` of the shipped DAG."""

from __future__ import annotations

import hmac
import json
from datetime import UTC, datetime, time, timedelta

import pytest

from tests.support.tables import assert_equal_rows, expected_rows
from tests.system.conftest import DAY, Services
from tests.system.running import DAG, Airflow

NEXT = DAY + timedelta(days=1)


def test_a_day_is_in_the_table_as_the_api_has_it(airflow: Airflow, services: Services) -> None:
    # A run by hand is for the interval that ends at its date.
    airflow.run("dags", "test", DAG, NEXT.isoformat(), settings=services.environment)
    services.assert_table_is_truth(DAY)
    spent = services.sandbox.counters
    assert spent["detail"] == len(services.truth(DAY))
    assert spent["agents"] + spent["calls"] + spent["performance"] == 1 + 2 + 2
    assert spent["refused"] == 0
    assert services.staging.exists()
    assert services.staged(DAG) == []


@pytest.mark.slow
def test_the_last_hour_is_in_the_table_for_lists_alone(
    airflow: Airflow, services: Services
) -> None:
    end = datetime.combine(DAY, time(12), UTC)
    settings = services.environment
    airflow.run("dags", "test", "talkpilot_calls_now", end.isoformat(), settings=settings)
    hour = [
        call["id"]
        for call in services.truth(DAY)
        if end - timedelta(hours=1) <= datetime.fromisoformat(call["created_at"]) < end
    ]
    assert hour
    assert sorted(row["id"] for row in services.rows()) == sorted(hour)
    assert services.sandbox.counters["detail"] == services.sandbox.counters["performance"] == 0


@pytest.mark.slow
def test_params_choose_the_interval_and_turn_details_off(
    airflow: Airflow, services: Services
) -> None:
    end = NEXT + timedelta(days=1)
    conf = {"start": DAY.isoformat(), "end": end.isoformat(), "enrich": False}
    said = airflow.run(
        "dags", "test", DAG, "2026-06-01", "--conf", json.dumps(conf), settings=services.environment
    )
    services.assert_table_is_truth(DAY, NEXT, details=False, scores=True)
    assert services.sandbox.counters["detail"] == 0
    assert "Details are turned off for this run." in said
    assert services.staging.exists()
    assert services.staged(DAG) == []


@pytest.mark.slow
def test_variables_choose_what_becomes_of_columns_and_of_staged_files(
    airflow: Airflow, services: Services
) -> None:
    secret = "0123456789abcdef" * 4
    tag = "projects/p/locations/us/taxonomies/1/policyTags/2"
    columns = {"phone_number": "hash", "transcript": "drop", "note": "keep"}
    settings = services.environment | {
        "AIRFLOW_VAR_TALKPILOT_KEEP_STAGED": "true",
        "AIRFLOW_VAR_TALKPILOT_COLUMNS": json.dumps(columns),
        "AIRFLOW_VAR_TALKPILOT_POLICY_TAGS": json.dumps({"phone_number": tag}),
        "AIRFLOW_CONN_TALKPILOT_HASH": json.dumps({"conn_type": "generic", "password": secret}),
    }
    said = airflow.run("dags", "test", DAG, NEXT.isoformat(), settings=settings)
    assert secret not in said

    expected = expected_rows(services.truth(DAY))
    for row in expected:
        row |= {"transcript": [], "transcript_raw": None}
        if number := row["phone_number"]:
            row["phone_number"] = hmac.new(secret.encode(), number.encode(), "sha256").hexdigest()
    assert_equal_rows(services.rows(), expected)
    assert services.sandbox.counters["detail"] == len(expected), "each has a score to bring"
    assert len(services.staged(DAG)) == 6
