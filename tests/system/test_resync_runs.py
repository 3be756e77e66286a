"""``airflow dags test`` of the re-sync DAG: a run goes on from the state of the run before."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from tests.system.conftest import DAY, Services
from tests.system.running import DAG, Airflow

RESYNC = "talkpilot_resync_calls"
STATE = "talkpilot_resync_calls_talkpilot_default_state"
DAYS = [DAY + timedelta(days=number) for number in range(3)]


@pytest.mark.slow
def test_a_run_of_three_intervals_and_the_next_one(airflow: Airflow, services: Services) -> None:
    """Two agents' retentions, and a look-back. Details whose columns are dropped cost nothing."""
    sandbox = services.sandbox
    sandbox.settings.patch(requests_per_minute=None, requests_per_hour=None)
    settings = services.environment | {
        "AIRFLOW_VAR_TALKPILOT_COLUMNS": json.dumps({"transcript": "drop", "final_score": "drop"}),
        "AIRFLOW_VAR_TALKPILOT_RESYNC_LOOK_BACKS": json.dumps([{"days": 3, "every": 1}]),
    }
    bounds = {"start": f"{DAY}", "end": f"{DAY + timedelta(days=3)}"}
    airflow.run_dag(DAG, "2026-04-01", settings, **bounds)
    long, short = sandbox.store.agent_ids
    sandbox.store.edit_agent(long, retention_days=30)
    sandbox.store.edit_agent(short, retention_days=29)
    sandbox.store.purge_by_retention("2026-04-17T00:00:00Z")
    sandbox.reset_counters()

    airflow.run_dag(RESYNC, "2026-04-18", settings)
    found = {row["id"]: row for row in services.rows()}
    old = [call for call in services.truth(DAYS[0]) if call["agent_id"] == long]
    old += [call for day in DAYS[:2] for call in services.truth(day) if call["agent_id"] == short]
    assert old
    for call in old:
        assert found[call["id"]]["is_purged"]
        assert found[call["id"]]["phone_number"] is None
    spent = sandbox.counters
    # The look-back's days have no calls, and cost one page for each agent.
    assert (spent["agents"], spent["calls"], spent["detail"]) == (2, 4, 0)
    state = json.loads(airflow.run("variables", "get", STATE).splitlines()[-1])
    assert state["look_backs"] == {"3": "2026-04-16"}
    assert set(state["retention"]["agents"]) == {long, short}

    # Nothing is due on the same day again.
    sandbox.reset_counters()
    assert "Nothing is due" in airflow.run_dag(RESYNC, "2026-04-18T01:00:00", settings)
    assert dict(sandbox.counters) == {"agents": 1}
