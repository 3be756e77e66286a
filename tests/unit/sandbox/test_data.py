"""The made-up data: the same for a seed, and with every kind of call in it."""

from __future__ import annotations

import datetime as dt
import json
import re
from collections import Counter
from typing import Any

import pytest

from airflow_provider_talkpilot.sandbox import SandboxSettings
from airflow_provider_talkpilot.sandbox.store import CallStore


def make(**settings: Any) -> list[dict[str, Any]]:
    return CallStore(SandboxSettings(**settings)).truth("2000-01-01", "2100-01-01")


@pytest.fixture(scope="module")
def calls() -> list[dict[str, Any]]:
    return make(days=4, calls_per_day=100)


def parses(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


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


def test_days() -> None:
    days = [dt.date(2026, 2, 28), dt.date(2026, 3, 2)]
    rows = make(days=days, calls_per_day=5, agents=3)
    assert Counter(row["created_at"][:10] for row in rows) == {"2026-02-28": 5, "2026-03-02": 5}
    rows = make(days=2, start=dt.date(2026, 12, 31), calls_per_day=1)
    assert [row["created_at"] for row in rows] == [
        "2026-12-31T00:00:00.000Z",
        "2027-01-01T00:00:00.000Z",
    ]
    assert make(agents=0) == make(calls_per_day=0) == make(days=0) == []


def test_calls_on_the_edges_of_days_and_ties(calls: list[dict[str, Any]]) -> None:
    for agent in {row["agent_id"] for row in calls}:
        moments = Counter(row["created_at"] for row in calls if row["agent_id"] == agent)
        for day in ("2026-03-16", "2026-03-17", "2026-03-18", "2026-03-19"):
            assert f"{day}T00:00:00.000Z" in moments
            assert f"{day}T23:59:59.999Z" in moments
        assert sum(count > 1 for count in moments.values()) >= 4


def test_kinds_of_calls(calls: list[dict[str, Any]]) -> None:
    purged = [row for row in calls if row["is_purged"]]
    assert purged
    assert all(row["transcript"] is None and row["phone_number"] is None for row in purged)
    assert any(row["deleted_at"] for row in calls)
    assert any(row["customer_name"] is None and row["done"] is None for row in calls)
    assert any(row["final_score"] is None for row in calls)
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
    assert any(len(row["created_at"]) == 27 for row in calls)
    assert all(row["updated_at"] > row["created_at"] for row in calls)


@pytest.mark.parametrize("count", [0, 1, 5])
def test_unparsable_transcripts(count: int) -> None:
    rows = make(days=4, calls_per_day=100, unparsable_transcripts=count)
    texts = [row["transcript"] for row in rows if row["transcript"]]
    assert sum(not parses(text) for text in texts) == count


def test_hard_texts(calls: list[dict[str, Any]]) -> None:
    text = "".join(str(row["call_summary"]) for row in calls)
    for hard in 'äöüß"\\\n\r\t\u2028\u2029\x85\U0001f469\ufeff\x0b\x0c\x1c':
        assert hard in text
    transcripts = "".join(
        message["text"]
        for row in calls
        if row["transcript"] and parses(row["transcript"])
        for message in json.loads(row["transcript"])
    )
    assert "\u2028" in transcripts
    assert "Grüß Gott" in transcripts
    assert "Hi there" in transcripts


def test_phone_numbers_are_reserved_for_fiction() -> None:
    store = CallStore(SandboxSettings(days=4, calls_per_day=100, agents=4))
    numbers = [row["phone_number"] for row in store.truth("2026-01-01", "2027-01-01")]
    numbers += [agent["phone_number"] for agent in store.agents]
    known = [number for number in numbers if number is not None]
    pattern = r"\+493023125\d{3}|\+1(202|312|415)55501\d\d"
    assert all(re.fullmatch(pattern, number) for number in known)
    assert len(set(known)) > 50
