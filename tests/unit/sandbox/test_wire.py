"""The forms in which calls go out when the API drifts."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import pytest


@pytest.mark.parametrize(
    ("form", "whole", "fraction"),
    [
        ("iso", "2026-03-16T10:00:00.000Z", "2026-03-16T10:00:00.250Z"),
        ("postgres", "2026-03-16 10:00:00+00", "2026-03-16 10:00:00.25+00"),
        ("python", "2026-03-16T10:00:00+00:00", "2026-03-16T10:00:00.250000+00:00"),
    ],
)
def test_forms_of_moments(api: Any, form: str, whole: str, fraction: str) -> None:
    sandbox = api.sandbox
    one = sandbox.insert_late(api.agent, "2026-03-16T10:00:00Z")
    two = sandbox.insert_late(api.agent, "2026-03-16T10:00:00.25Z")
    sandbox.soft_delete(two)
    truth = {row["id"]: row for row in api.truth()}
    sandbox.settings.moment_form = form
    rows = {row["id"]: row for row in api.rows(include_deleted="true")}
    for row in (rows, {call_id: api.detail(call_id).json() for call_id in (one, two)}):
        assert row[one]["created_at"] == whole
        assert row[two]["created_at"] == fraction
        assert row[one]["deleted_at"] is None
        for name in ("deleted_at", "updated_at"):
            moment = dt.datetime.fromisoformat(row[two][name])
            assert moment == dt.datetime.fromisoformat(truth[two][name])
            assert (" " in row[two][name]) == (form == "postgres")
    assert {row["id"]: row for row in api.truth()} == truth, "the truth stays as it is"


def test_values_of_other_types(api: Any) -> None:
    settings, call_id = api.sandbox.settings, api.truth()[0]["id"]
    settings.extra_list_fields = {"duration": 12.5, "done": "yes"}
    settings.extra_detail_fields = {"call_summary": {"text": "…"}}
    assert {(row["duration"], row["done"]) for row in api.rows()} == {(12.5, "yes")}
    detail = api.detail(call_id).json()
    assert detail["call_summary"] == {"text": "…"}
    assert detail["duration"] != 12.5
    settings.extra_list_fields = settings.extra_detail_fields = {}
    api.sandbox.edit(call_id, duration=12.5)
    assert [row["duration"] for row in api.rows() if row["duration"] == 12.5] == [12.5]
    assert api.detail(call_id).json()["duration"] == 12.5


@pytest.mark.parametrize("form", ["text", "array", "object"])
def test_forms_of_transcripts(api: Any, form: str) -> None:
    api.sandbox.settings.transcript_form = form
    for row in api.truth():
        sent = api.detail(row["id"]).json()["transcript"]
        if row["transcript"] is None or form == "text":
            assert sent == row["transcript"]
        elif isinstance(sent, str):
            with pytest.raises(ValueError, match="line 1"):
                json.loads(sent)
        else:
            messages = json.loads(row["transcript"])
            assert sent == (messages if form == "array" else {"messages": messages})


def test_transcripts_with_times_and_tools(api: Any) -> None:
    plain = {row["id"]: row["transcript"] for row in api.truth()}
    api.sandbox.settings.patch(
        transcript_role="assistant", transcript_times=True, transcript_tools=True
    )
    whole = next(row for row in api.truth() if row["transcript"] and len(row["transcript"]) > 400)
    entries = json.loads(api.detail(whole["id"]).json()["transcript"])
    assert entries == json.loads(whole["transcript"])
    assert {entry["role"] for entry in entries} == {
        "assistant",
        "user",
        "tool_call_invocation",
        "tool_call_result",
    }
    [call] = [entry for entry in entries if entry["role"] == "tool_call_invocation"]
    [result] = [entry for entry in entries if entry["role"] == "tool_call_result"]
    assert call["tool_call_id"] == result["tool_call_id"]
    assert json.loads(call["arguments"])
    assert json.loads(result["content"])
    times = [entry["time_sec"] for entry in entries]
    assert times == sorted(set(times))
    spoken = [entry["text"] for entry in entries if "text" in entry]
    assert spoken == [message["text"] for message in json.loads(plain[whole["id"]])]
