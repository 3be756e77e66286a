"""``airflow dags test`` of the re-sync DAG: the next run builds on what the last one left."""

from __future__ import annotations

import json
from datetime import timedelta

from tests.support.tables import assert_equal_rows, expected_rows
from tests.system.conftest import DAY, Services
from tests.system.running import DAG, Airflow

RESYNC = "talkpilot_resync_calls"
DONE = "talkpilot_resync_done"
DAYS = [DAY + timedelta(days=number) for number in range(3)]


def conf(start: int, end: int) -> str:
    first, last = (DAY + timedelta(days=number) for number in (start, end))
    return json.dumps({"start": first.isoformat(), "end": last.isoformat()})


def test_runs_of_the_ladder_and_by_hand(airflow: Airflow, services: Services) -> None:
    sandbox, settings = services.sandbox, services.environment
    sandbox.settings.patch(requests_per_minute=None, requests_per_hour=None)
    airflow.run("dags", "test", DAG, "2026-04-01", "--conf", conf(0, 3), settings=settings)
    services.assert_table_is_truth(*DAYS)
    newest = services.truth(DAYS[2])
    for day in DAYS:
        sandbox.purge(next(call["id"] for call in services.truth(day) if not call["is_purged"]))
    sandbox.reset_counters()

    # By hand on the 20th at midnight: the last whole interval ended on the 19th at six, the day
    # before that is the newest, and all that the table has of the days before is read again.
    airflow.run("dags", "test", RESYNC, "2026-03-20", settings=settings)
    truth = [call for day in DAYS[:2] for call in services.truth(day)]
    assert_equal_rows(services.rows(), expected_rows([*truth, *newest]))
    spent = sandbox.counters
    assert (spent["agents"], spent["calls"], spent["detail"]) == (1, 2, 2)
    assert airflow.run("variables", "get", DONE).splitlines()[-1] == '{"180":"2026-03-18"}'

    sandbox.reset_counters()
    airflow.run("dags", "test", RESYNC, "2026-04-01", "--conf", conf(2, 3), settings=settings)
    services.assert_table_is_truth(*DAYS)
    assert sandbox.counters["detail"] == 1

    # Nothing is due on the same day again, and the run by hand made no difference to that.
    sandbox.reset_counters()
    said = airflow.run("dags", "test", RESYNC, "2026-03-20T01:00:00", settings=settings)
    assert "Nothing is due before 2026-03-18" in said
    assert not sandbox.counters


def test_a_rung_counts_where_details_are_dropped(airflow: Airflow, services: Services) -> None:
    """Else the longest look-back would be due every day."""
    columns = json.dumps({"transcript": "drop", "final_score": "drop"})
    settings = services.environment | {"AIRFLOW_VAR_TALKPILOT_COLUMNS": columns}
    airflow.run("variables", "set", DONE, "{}")
    airflow.run("dags", "test", DAG, "2026-04-01", "--conf", conf(0, 3), settings=settings)

    airflow.run("dags", "test", RESYNC, "2026-03-20", settings=settings)
    assert airflow.run("variables", "get", DONE).splitlines()[-1] == '{"180":"2026-03-18"}'
    assert services.sandbox.counters["detail"] == 0
