"""Whose task goes first where several runs wait."""

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


def weight(run_id: str, own: int = 1, **more: Any) -> int:
    ti: Any = SimpleNamespace(run_id=run_id, task=SimpleNamespace(priority_weight=own), **more)
    return ScheduledFirst().get_weight(ti)


@pytest.mark.parametrize(
    ("run_id", "expected"),
    [
        ("scheduled__2026-03-18T00:00:00+00:00", 1),
        (f"{DATA}_triggered__2026-03-18T00:00:00+00:00_x", 1),
        ("a name of its own", 0),
        ("manual__2026-03-18T00:00:00+00:00", 0),
        ("backfill__2026-03-18T00:00:00+00:00", -1),
    ],
)
def test_the_daily_run_then_those_by_hand_then_a_backfill(run_id: str, expected: int) -> None:
    assert weight(run_id) == expected
    assert weight(run_id, own=10) == expected + 9


@pytest.mark.parametrize(("run_type", "expected"), [("scheduled", 1), ("backfill", -1)])
def test_the_type_of_the_run_decides_and_not_its_name(run_type: str, expected: int) -> None:
    run = SimpleNamespace(run_type=run_type)
    assert weight("manual__2026-03-18", dag_run=run) == expected


def test_airflow_finds_the_rule_by_its_name() -> None:
    assert isinstance(validate_and_load_priority_weight_strategy(RULE), ScheduledFirst)
