"""``airflow dags test`` of the re-sync DAG: the next run builds on what the last one left."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from tests.support.tables import assert_equal_rows, expected_rows
from tests.system.conftest import DAY, Services
from tests.system.running import DAG, Airflow

RESYNC = "talkpilot_resync_calls"
DONE = "talkpilot_resync_calls_talkpilot_default_done"
DAYS = [DAY + timedelta(days=number) for number in range(3)]


def conf(start: int, end: int) -> str:
    first, last = (DAY + timedelta(days=number) for number in (start, end))
    return json.dumps({"start": first.isoformat(), "end": last.isoformat()})


def noted(airflow: Airflow) -> dict[str, str]:
    """What was read, by look-back, as the next run finds it."""
    text = airflow.run("variables", "get", DONE).splitlines()[-1]
    found: dict[str, str] = json.loads(text)["look_backs"]
    return found


@pytest.mark.slow
def test_runs_of_look_backs_and_by_hand(airflow: Airflow, services: Services) -> None:
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
    # What a purge leaves of a detail is in the table.
    assert (spent["agents"], spent["calls"], spent["detail"]) == (2, 2, 0)
    assert noted(airflow) == {"90": "2026-03-18"}

    sandbox.reset_counters()
    airflow.run("dags", "test", RESYNC, "2026-04-01", "--conf", conf(2, 3), settings=settings)
    services.assert_table_is_truth(*DAYS)
    assert sandbox.counters["detail"] == 0

    # Nothing is due on the same day again, and the run by hand made no difference to that.
    sandbox.reset_counters()
    said = airflow.run("dags", "test", RESYNC, "2026-03-20T01:00:00", settings=settings)
    assert "Nothing is due before 2026-03-18" in said
    assert dict(sandbox.counters) == {"agents": 1}


@pytest.mark.slow
def test_purges_by_retention_in_intervals_of_their_own(
    airflow: Airflow, services: Services
) -> None:
    """Three intervals in one run: a retention of each agent, and the look-back."""
    sandbox, settings = services.sandbox, services.environment
    sandbox.settings.patch(requests_per_minute=None, requests_per_hour=None)
    airflow.run("variables", "set", DONE, "{}")
    airflow.run("dags", "test", DAG, "2026-04-01", "--conf", conf(0, 3), settings=settings)
    long, short = sandbox.store.agent_ids
    sandbox.edit_agent(long, retention_days=30)
    sandbox.edit_agent(short, retention_days=29)
    sandbox.purge_by_retention("2026-04-17T00:00:00Z")
    sandbox.reset_counters()

    short_ones = json.dumps([{"days": 3, "every": 1}])
    settings = settings | {"AIRFLOW_VAR_TALKPILOT_RESYNC_LOOK_BACKS": short_ones}
    airflow.run("dags", "test", RESYNC, "2026-04-18", settings=settings)
    found = {row["id"]: row for row in services.rows()}
    old = [call for call in services.truth(DAYS[0]) if call["agent_id"] == long]
    old += [call for day in DAYS[:2] for call in services.truth(day) if call["agent_id"] == short]
    assert old
    for call in old:
        assert found[call["id"]]["is_purged"]
        assert not found[call["id"]]["transcript"]
    # The look-back's days have no calls: a page for each agent of them.
    assert dict(sandbox.counters) == {"agents": 2, "calls": 4, "performance": 4}
    assert noted(airflow) == {"3": "2026-04-16"}
    kept = json.loads(airflow.run("variables", "get", DONE).splitlines()[-1])["retention"]
    assert set(kept["agents"]) == {long, short}


def test_a_look_back_counts_where_details_are_dropped(airflow: Airflow, services: Services) -> None:
    """Else the longest look-back would be due every day."""
    columns = json.dumps({"transcript": "drop", "final_score": "drop"})
    settings = services.environment | {"AIRFLOW_VAR_TALKPILOT_COLUMNS": columns}
    airflow.run("variables", "set", DONE, "{}")
    airflow.run("dags", "test", DAG, "2026-04-01", "--conf", conf(0, 3), settings=settings)

    airflow.run("dags", "test", RESYNC, "2026-03-20", settings=settings)
    assert noted(airflow) == {"90": "2026-03-18"}
    assert services.sandbox.counters["detail"] == 0
