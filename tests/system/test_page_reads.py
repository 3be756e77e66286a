"""The page's figures from the database of an Airflow that ran a user's DAG."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import create_engine
from sqlalchemy.orm import Session

from tests.system.conftest import DAY, Services
from tests.system.running import REPOSITORY, Airflow

pytestmark = [pytest.mark.airflow3, pytest.mark.slow]  # the page is Airflow 3's

OWN_DAGS = REPOSITORY / "tests" / "system" / "dags"
OWN_DAG = "talkpilot_own_names"


def test_renamed_tasks_of_subclassed_operators_stay_on_the_page(
    airflow: Airflow, services: Services
) -> None:
    from airflow_provider_talkpilot.plugins.overview import overview
    from airflow_provider_talkpilot.plugins.reading import read_tasks

    settings = services.environment | {"AIRFLOW__CORE__DAGS_FOLDER": str(OWN_DAGS)}
    next_day = DAY + timedelta(days=1)
    airflow.run("dags", "test", OWN_DAG, next_day.isoformat(), settings=settings)

    now = datetime(next_day.year, next_day.month, next_day.day, 12, tzinfo=UTC)
    with Session(create_engine(f"sqlite:///{airflow.home}/airflow.db")) as session:
        found = read_tasks(session, now - timedelta(days=2), {OWN_DAG}.intersection)
    assert found.unreadable == 0
    [connection] = overview(found.tasks, now=now, days=2)["connections"]
    day, today = connection["days"]
    calls = len(services.truth(DAY))
    assert (day["state"], day["calls"], day["details"]) == ("complete", calls, calls)
    assert today["state"] == "open"
