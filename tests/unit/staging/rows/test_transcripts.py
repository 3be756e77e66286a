"""Rows as the table has them, made from the API's records."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_talkpilot.api import CallDetail
from airflow_provider_talkpilot.staging.rows.calls import detail_row, event_row
from airflow_provider_talkpilot.staging.rows.transcripts import parse_transcript

USER = {"role": "user", "text": "a"}
TOOL = {"role": "tool_call_invocation", "name": "book", "arguments": "{}", "time_sec": 1.5}
SAID = {"role": "assistant", "text": "hi", "timestamp": "2026-03-16T10:00:03Z", "time_sec": 3}
DONE = {"role": "tool_call_result", "content": {"ok": [1]}, "successful": True, "time_sec": 2}
A, B = {"tool_call_id": "a"}, {"tool_call_id": "b"}


def as_json(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))


NOW = datetime(2026, 3, 18, 12, tzinfo=UTC)
VERSION = datetime(2026, 3, 17, 12, tzinfo=UTC)

texts = st.text(max_size=20)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(-1e9, 1e9) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)


@given(st.lists(st.fixed_dictionaries({"role": texts, "text": texts}), max_size=5))
def test_messages_are_parsed(sent: list[dict[str, str]]) -> None:
    for transcript in (json.dumps(sent), json.dumps(sent, ensure_ascii=False), list(sent)):
        assert parse_transcript(transcript) == (sent, None)


@given(json_values)
def test_nothing_of_a_transcript_is_lost(value: Any) -> None:
    """Either the messages hold all of it, or it is kept as it came."""
    sent = json.dumps(value)
    parsed, raw = parse_transcript(sent)
    if raw is None:
        assert parsed == (value or [])
    else:
        assert raw == sent
    if not isinstance(value, str):  # JSON itself is read like the text of it
        assert parse_transcript(value)[0] == parsed
        assert json.loads(parse_transcript(value)[1] or "null") == json.loads(raw or "null")


@pytest.mark.parametrize(
    ("sent", "messages", "raw"),
    [
        *[(sent, [], None) for sent in (None, "null", "[]")],
        *[(sent, [], sent) for sent in ("", "not JSON", '[{"role":"agent","te', '["agent"]')],
        *[(sent, [], sent) for sent in ('{"role":"agent"}', '[{"role":"user"}]', '[{"text":"a"}]')],
        ('[{"role":"user","text":1}]', [], '[{"role":"user","text":1}]'),
        ('[{"role":"user","text":"a","at":3}]', [USER], '[{"role":"user","text":"a","at":3}]'),
        ([TOOL, USER], [USER], as_json([TOOL, USER])),
        ({"messages": []}, [], '{"messages":[]}'),
        (7, [], "7"),
    ],
)
def test_transcripts(sent: Any, messages: list[dict[str, Any]], raw: str | None) -> None:
    assert parse_transcript(sent) == (messages, raw)


@pytest.mark.parametrize(
    ("turns", "is_lossless"),
    [
        ([SAID, TOOL | A, DONE | A, SAID | {"text": 5}], True),
        ([TOOL | A, DONE | A, TOOL | B, DONE | B | {"time_sec": 2.5}], True),
        ([TOOL | A, TOOL | B, DONE | B, DONE | A], False),
        ([TOOL | {"type": "transfer_call"}], False),
        ([SAID | {"time_sec": "3"}], False),
        ([SAID | {"time_sec": None}], False),
        ([DONE | {"successful": "true"}], False),
        ([SAID | {"content": "ho"}], False),
    ],
)
def test_what_turns_cannot_hold_is_kept_raw(turns: list[dict[str, Any]], is_lossless: bool) -> None:
    row = event_row({}, turns, NOW)
    assert row
    assert [turn["position"] for turn in row["turns"]] == list(range(len(turns)))
    assert row["transcript_raw"] == (None if is_lossless else as_json(turns))
    mixed = event_row({}, [*turns, "hm"], NOW)
    assert mixed
    assert (mixed["turns"], mixed["transcript_raw"]) == ([], as_json([*turns, "hm"]))


@pytest.mark.parametrize(
    ("listed", "came", "expected"),
    [
        (VERSION, VERSION, VERSION),
        (VERSION, VERSION + timedelta(1), VERSION + timedelta(1)),
        (VERSION, VERSION - timedelta(1), VERSION),
        (None, VERSION, VERSION),
        (VERSION, None, VERSION),
        (None, None, None),
    ],
)
def test_the_version_of_a_detail(
    listed: datetime | None, came: datetime | None, expected: datetime | None
) -> None:
    sent = {
        "id": "7b0a2f0c-0000-4000-8000-000000000001",
        "created_at": "2026-03-16T10:00:00.123456Z",
        "updated_at": came.isoformat() if came else None,
    }
    row = detail_row(CallDetail.model_validate(sent), listed, NOW)
    assert row["updated_at"] == row["detail_updated_at"] == expected
