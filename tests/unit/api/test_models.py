"""Records: what the facts leave open is tolerated, what cannot be stored is rejected or a text."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from airflow_provider_talkpilot.api import Call, CallDetail, TalkPilotClient
from airflow_provider_talkpilot.api.json_text import parse_json_text
from airflow_provider_talkpilot.api.models import describe_invalid
from airflow_provider_talkpilot.sandbox import Sandbox
from tests.unit.api.conftest import DAY

ID = "0d5e8f9e-1f6f-4c9b-9d5e-3a4b5c6d7e8f"
LEAST: dict[str, Any] = {"id": ID, "created_at": "2026-03-18T00:00:00.000Z"}


def test_unknown_fields_are_kept_without_the_recordings_address(
    sandbox: Sandbox, client: TalkPilotClient, agent: str
) -> None:
    sandbox.settings.extra_list_fields = {"mood": {"score": 3}, "audio_file_url": "https://x"}
    sandbox.settings.extra_detail_fields = {"mood": ["glad"], "n": None}
    page = next(client.walk_calls(agent, DAY))
    assert all(call.extra == {"mood": {"score": 3}} for call in page.records)
    detail = client.call(agent, page.records[0].id)
    assert detail.extra == {"mood": ["glad"], "n": None}


def test_all_but_id_and_start_may_be_missing_or_null() -> None:
    assert Call.model_validate(LEAST).created_at == datetime(2026, 3, 18, tzinfo=UTC)
    nulls = dict.fromkeys(set(CallDetail.model_fields) - set(LEAST))
    assert CallDetail.model_validate(LEAST | nulls).transcript is None


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"id": None}, "id"),
        ({"id": "../../agents"}, "id"),
        ({"created_at": None}, "created_at"),
        ({"created_at": "0001-01-01T00:00:00+14:00"}, "created_at"),
        ({"created_at": "SECRET", "done": "SECRET"}, "created_at"),
    ],
)
def test_without_id_or_start_it_is_no_call_and_says_why(wrong: dict[str, Any], field: str) -> None:
    with pytest.raises(ValidationError) as caught:
        CallDetail.read(LEAST | wrong)
    reason = describe_invalid(caught.value)
    assert reason.startswith(f"{field}: ")
    assert "SECRET" not in reason + str(caught.value)


@pytest.mark.parametrize(
    ("name", "value", "kept"),
    [
        ("agent_id", "../../agents", ...),
        ("duration", True, ...),
        ("duration", 1.5, ...),
        ("duration", 2**63, str(2**63)),
        ("duration", float("nan"), "NaN"),
        ("final_score", float("inf"), "Infinity"),
        ("final_score", "8/10", ...),
        ("final_score", False, ...),
        ("customer_name", {"first": "Kim"}, ...),
        ("done", "true", ...),
        ("is_purged", "perhaps", ...),
        ("updated_at", 1773655200000, ...),
    ],
)
def test_what_does_not_fit_is_kept_under_its_name(name: str, value: Any, kept: Any) -> None:
    """And so are the other fields, in a page that is read in one go as in a single record."""
    sent = LEAST | {name: value, "note": "Hello.", "mood": 3}
    for call in (CallDetail.read(sent), CallDetail.read(parse_json_text(json.dumps(sent)))):
        assert getattr(call, name) is None
        assert call.drift == {name: value if kept is ... else kept}
        assert call.extra == {"mood": 3}
        assert call.note == "Hello."


@pytest.mark.parametrize(
    ("name", "value", "read"),
    [
        ("duration", 12.0, 12),
        ("final_score", 7.5, 7.5),
        ("final_score", 10**30, 1e30),
        ("agent_id", ID.upper(), ID),
        ("id", f" {ID.upper()}\n", ID),
        ("id", ID.replace("-", ""), ID),
        ("id", f"urn:uuid:{ID}", ID),
        ("agent_id", f"{{{ID.upper()}}}", ID),
        ("is_purged", "true", True),
    ],
)
def test_what_fits_all_the_same(name: str, value: Any, read: Any) -> None:
    sent = LEAST | {name: value}
    call = CallDetail.read(sent)
    assert (getattr(call, name), type(getattr(call, name))) == (read, type(read))
    assert call.drift == {}


def test_a_recordings_address_is_kept_nowhere() -> None:
    call = CallDetail.read(LEAST | {"audio_file_url": {"url": "https://signed"}})
    assert (call.extra, call.drift) == ({}, {})


def test_numbers_that_a_json_column_cannot_hold_become_texts() -> None:
    odd = {"a": [2**63, {"b": -(2**64)}], "c": float("inf"), "d": 2**63 - 1, "e": True, "f": 0.5}
    assert Call.model_validate(LEAST | odd).extra == {
        "a": ["9223372036854775808", {"b": "-18446744073709551616"}],
        "c": "Infinity",
        "d": 2**63 - 1,
        "e": True,
        "f": 0.5,
    }


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (rb'{"t":"cut \ud83d"}', {"t": "cut \ufffd"}),
        (rb'{"t":"\udc4d cut"}', {"t": "\ufffd cut"}),
        (rb'{"t":"\ud83d\ud83d\udc4d"}', {"t": "\ufffd\U0001f44d"}),
        (rb'{"\ud83d":["\ud83d",{"x":"\ude00"}]}', {"\ufffd": ["\ufffd", {"x": "\ufffd"}]}),
        (b'{"t":"broken \xf0\x9f"}', {"t": "broken \ufffd"}),
        (b'\xef\xbb\xbf{"t":1}', {"t": 1}),
        (b'{"t":NaN,"u":-Infinity}', {"t": "NaN", "u": "-Infinity"}),
        (b'{"t":123456789012345678901234567890}', {"t": 123456789012345678901234567890}),
        ('{"t":"zwei\u2028Zeilen, Größe"}'.encode(), {"t": "zwei\u2028Zeilen, Größe"}),
    ],
)
def test_bodies_that_are_nearly_json_are_read_all_the_same(body: bytes, value: Any) -> None:
    parsed = parse_json_text(body)
    assert parsed == value
    json.dumps(parsed, ensure_ascii=False).encode()  # all of it can be written


@pytest.mark.parametrize(
    "body", [b"", b" ", b"{", b'{"t":"cut', b"<html>", b"[" * 100_000, b"{'t':1}", b"\xff\xfe"]
)
def test_what_is_no_json_is_none(body: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_json_text(body)


@given(st.recursive(st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.text(), st.lists))
def test_json_is_read_as_the_standard_library_does(value: Any) -> None:
    for ascii_only in (True, False):
        assert parse_json_text(json.dumps(value, ensure_ascii=ascii_only).encode()) == value
