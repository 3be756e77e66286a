"""The made-up data: the same for a seed, and with every kind of call in it."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_talkpilot.sandbox import SandboxSettings
from airflow_provider_talkpilot.sandbox.calls.store import CallStore


def make(**settings: Any) -> list[dict[str, Any]]:
    return CallStore(SandboxSettings(**settings)).truth("2000-01-01", "2100-01-01")


@pytest.fixture(scope="module")
def calls() -> list[dict[str, Any]]:
    return make(days=4, calls_per_day=100)


def test_same_seed_same_data(calls: list[dict[str, Any]]) -> None:
    assert calls == make(days=4, calls_per_day=100)
    other = make(days=4, calls_per_day=100, seed=2)
    assert not {row["id"] for row in calls} & {row["id"] for row in other}


def test_spring_differs_in_scores_and_reasons_alone(calls: list[dict[str, Any]]) -> None:
    spring = make(days=4, calls_per_day=100, era="spring")
    assert {type(row["final_score"]) for row in spring} == {int, type(None)}
    assert len({row["disconnection_reason"] for row in spring}) == 4
    for row, now in zip(spring, calls, strict=True):
        different = {name for name in row if row[name] != now[name]}
        assert different <= {"final_score", "disconnection_reason"}
        if row["final_score"] is not None:
            assert row["final_score"] == int(now["final_score"])
    assert spring == make(days=4, calls_per_day=100, decimal_scores=False, more_reasons=False)


def test_kinds_of_calls(calls: list[dict[str, Any]]) -> None:
    purged = [row for row in calls if row["is_purged"]]
    assert purged
    assert all(row["transcript"] is None and row["phone_number"] is None for row in purged)
    assert any(row["customer_name"] is None and row["done"] is None for row in calls)
    scores = [row["final_score"] for row in calls if row["final_score"] is not None]
    assert {int(score) for score in scores} == set(range(1, 11))
    assert all(1 <= score <= 10 and round(score, 1) == score for score in scores)
    assert {type(score) for score in scores} == {int, float}
    assert any(row["transcript"] == "[]" for row in calls)
    assert any(row["transcript"] is None and not row["is_purged"] for row in calls)
    reasons = {row["disconnection_reason"] for row in calls}
    assert {"user_hangup", "call_transfer", "agent_hangup"} < reasons
    assert {"unknown", "busy", "no_answer", "dial_error"} < reasons
    assert any(row["done"] is False for row in calls)
    assert any(row["deleted_at"] for row in calls)
    assert any(row["phone_number"] is None and not row["is_purged"] for row in calls)
    assert any("\u2028" in (row["transcript"] or "") for row in calls)
    starts = {row["created_at"][11:] for row in calls}
    assert {"00:00:00.000Z", "23:59:59.999Z"} <= starts
    assert any(len(start) == len("00:00:00.000000Z") for start in starts)
    assert len({row["created_at"] for row in calls}) < len(calls), "there are ties"
    assert all(row["updated_at"] > row["created_at"] for row in calls)
