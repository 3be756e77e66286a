"""The examples of mapped tasks, run as they are."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from airflow_provider_talkpilot.sandbox import Sandbox
from tests.support.tables import assert_equal_rows, expected_rows, spared_of
from tests.system.conftest import DAY, Services
from tests.system.running import REPOSITORY, Airflow

pytestmark = pytest.mark.slow

EXAMPLES = {"AIRFLOW__CORE__DAGS_FOLDER": str(REPOSITORY / "examples")}
NEXT = DAY + timedelta(days=1)


@pytest.mark.airflow3
def test_one_key_with_many_agents(airflow: Airflow, services: Services) -> None:
    settings = services.environment | EXAMPLES
    airflow.run_dag("talkpilot_agents", f"{NEXT}", settings)
    services.assert_table_is_truth(DAY)
    services.assert_details_fetched(services.truth(DAY))
    spent = services.sandbox.counters
    assert (spent["agents"], spent["calls"]) == (1, 2)
    assert len(list(services.staging.glob("talkpilot_agents/*/agents-*"))) == 2
    assert services.staged("talkpilot_agents") == []


def test_many_keys(airflow: Airflow, services: Services) -> None:
    """Each organisation's details are fetched with its own key."""
    with Sandbox(seed=5, days=[DAY], calls_per_day=6, agents=1) as south:
        names = ["talkpilot_north", "talkpilot_south"]
        settings = services.environment | EXAMPLES
        for name, sandbox in zip(names, (services.sandbox, south), strict=True):
            settings[f"AIRFLOW_CONN_{name.upper()}"] = json.dumps(sandbox.connection)
        settings["AIRFLOW_VAR_TALKPILOT_ORGANISATIONS"] = json.dumps(names)
        airflow.run_dag("talkpilot_organisations", f"{NEXT}", settings)
        of_south = south.store.truth(DAY.isoformat(), NEXT.isoformat())
        truth = services.truth(DAY) + of_south
        assert_equal_rows(services.rows(), expected_rows(truth, spared=spared_of(truth)))
        assert south.counters["detail"] == len(of_south) - len(spared_of(of_south))
        services.assert_details_fetched(services.truth(DAY))
    assert services.staged("talkpilot_organisations") == []


@pytest.mark.airflow3
def test_history_by_month(airflow: Airflow, services: Services) -> None:
    settings = services.environment | EXAMPLES
    airflow.run_dag("talkpilot_months", "2026-06-01", settings, first="2026-02", last="2026-03")
    days = [DAY + timedelta(days=n) for n in range(3)]
    services.assert_table_is_truth(*days)
    services.assert_details_fetched(call for day in days for call in services.truth(day))
    spent = services.sandbox.counters
    assert (spent["agents"], spent["calls"]) == (2, 2 * 2)
    assert services.staged("talkpilot_months") == []
