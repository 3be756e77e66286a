"""``airflow dags test`` of the shipped DAG."""

from __future__ import annotations

import json
from datetime import timedelta

from tests.system.conftest import DAY, Services
from tests.system.running import DAG, Airflow

NEXT = DAY + timedelta(days=1)


def test_a_day_is_in_the_table_as_the_api_has_it(airflow: Airflow, services: Services) -> None:
    # A run by hand is for the interval that ends at its date.
    airflow.run("dags", "test", DAG, NEXT.isoformat(), settings=services.environment)
    services.assert_table_is_truth(DAY)
    spent = services.sandbox.counters
    assert spent["detail"] == len(services.truth(DAY))
    assert spent["agents"] + spent["calls"] == 1 + 2
    assert spent["refused"] == 0


def test_params_choose_the_interval_and_turn_details_off(
    airflow: Airflow, services: Services
) -> None:
    end = NEXT + timedelta(days=1)
    conf = {"start": DAY.isoformat(), "end": end.isoformat(), "enrich": False}
    said = airflow.run(
        "dags", "test", DAG, "2026-06-01", "--conf", json.dumps(conf), settings=services.environment
    )
    services.assert_table_is_truth(DAY, NEXT, details=False)
    assert services.sandbox.counters["detail"] == 0
    assert "Details are turned off for this run." in said
