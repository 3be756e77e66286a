"""Which task starts first if several runs wait."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from airflow.task.priority_strategy import validate_and_load_priority_weight_strategy

from airflow_provider_talkpilot.compat import IS_AIRFLOW_3
from airflow_provider_talkpilot.operators.priority import ScheduledFirst

# What Airflow 3 calls an asset.
DATA = "asset" if IS_AIRFLOW_3 else "dataset"
RULE = "airflow_provider_talkpilot.operators.priority.ScheduledFirst"


@pytest.mark.parametrize(
    ("run_id", "run_type", "expected"),
    [
        ("scheduled__2026-03-18T00:00:00+00:00", None, 10),
        (f"{DATA}_triggered__2026-03-18T00:00:00+00:00_x", None, 10),
        ("a name of its own", None, 9),
        ("manual__2026-03-18T00:00:00+00:00", None, 9),
        ("backfill__2026-03-18T00:00:00+00:00", None, 8),
        # The type of the run decides if Airflow has loaded it, and not its name.
        ("manual__2026-03-18", "scheduled", 10),
        ("manual__2026-03-18", "backfill", 8),
    ],
)
def test_daily_runs_first_then_runs_by_hand_then_backfills(
    run_id: str, run_type: str | None, expected: int
) -> None:
    ti: Any = SimpleNamespace(run_id=run_id, task=SimpleNamespace(priority_weight=10))
    if run_type:
        ti.dag_run = SimpleNamespace(run_type=run_type)
    assert ScheduledFirst().get_weight(ti) == expected


def test_airflow_finds_the_rule_by_its_name() -> None:
    assert isinstance(validate_and_load_priority_weight_strategy(RULE), ScheduledFirst)
