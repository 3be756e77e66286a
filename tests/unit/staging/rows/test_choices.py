"""Choices for columns: a dropped or hashed value leaves nothing behind."""

from __future__ import annotations

import hmac
import json
from datetime import UTC, datetime
from typing import Any

import pydantic_core
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_talkpilot.api import Call, CallDetail, PerformanceRecord
from airflow_provider_talkpilot.api.json_text import parse_json_text
from airflow_provider_talkpilot.api.models import Text
from airflow_provider_talkpilot.staging.errors import ColumnChoiceError
from airflow_provider_talkpilot.staging.rows.calls import call_row, detail_row, missing_detail_row
from airflow_provider_talkpilot.staging.rows.choices import (
    KEEP_ALL,
    NEEDED,
    ColumnChoices,
    Hasher,
    checked_choices,
)
from airflow_provider_talkpilot.staging.rows.performance import performance_row
from tests.support.tables import DROPPABLE, HASHABLE

NOW = datetime(2026, 3, 18, 12, tzinfo=UTC)
SECRET = "f00dfeed" * 8
KEYS = {
    "id": "7b0a2f0c-0000-4000-8000-000000000001",
    "agent_id": "7b0a2f0c-0000-4000-8000-000000000002",
    "created_at": "2026-03-16T10:00:00.123456Z",
    "updated_at": "2026-03-17T12:00:00Z",
}
MARK = "§"
"""Begins every value that must not survive, and nothing else."""


def hashed(text: str) -> str:
    return hmac.new(SECRET.encode(), text.encode(), "sha256").hexdigest()


def choices(**chosen: str) -> ColumnChoices:
    return ColumnChoices(chosen, Hasher(SECRET))


def detail(**fields: Any) -> dict[str, Any]:
    return detail_row(CallDetail.model_validate(KEYS | fields), None, NOW)


def has_mark(value: Any) -> bool:
    return MARK in pydantic_core.to_json(value).decode()


def rejected(chosen: ColumnChoices, record: Any) -> Any:
    """The part of a rejected record that is staged."""
    return chosen.reject("an agent", "a reason", record)["record"]


marked = st.text(max_size=12).map(lambda text: MARK + text)
maybe_marked = marked | st.sampled_from([None, ""])
marked_values = st.recursive(
    marked,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(marked, inner, max_size=2),
    max_leaves=4,
)
choice_sets = st.fixed_dictionaries(
    {},
    optional={
        name: st.sampled_from(["keep", "drop", "hash"] if name in HASHABLE else ["keep", "drop"])
        for name in DROPPABLE
        if name not in ("transcript_raw", "turns")
    },
)


@given(choice_sets, st.data())
def test_nothing_survives_in_a_row(chosen: dict[str, str], data: st.DataObject) -> None:
    """Dropped and hashed fields are marked, and others are not."""
    record: dict[str, Any] = dict(KEYS)
    for name in HASHABLE:
        gone = chosen.get(name, "keep") != "keep"
        record[name] = data.draw(maybe_marked if gone else st.sampled_from([None, "", "a"]))
    words = data.draw(marked) if chosen.get("transcript") == "drop" else "hello"
    record["transcript"] = data.draw(
        st.sampled_from([words, json.dumps([{"role": "user", "text": words}]), [words], None])
    )
    if chosen.get("extra") == "drop":
        record |= data.draw(st.dictionaries(marked, marked_values, max_size=2))
    else:
        record["mood"] = "fine"
    row, whole = choices(**chosen).row(detail(**record)), detail(**record)
    assert not has_mark(row)
    assert row.keys() - {"extra"} == whole.keys() - {"extra"}
    for name in HASHABLE:
        choice, value = chosen.get(name, "keep"), record[name]
        if choice == "hash":
            assert row[name] == (hashed(value) if value else value)
        else:
            assert row[name] == (value if choice == "keep" else None)
    if chosen.get("extra", "keep") == "keep":
        assert row["extra"] == {"mood": "fine"}
    if chosen.get("transcript", "keep") == "keep":
        for name in ("transcript", "transcript_raw"):
            assert row[name] == whole[name]
    else:
        assert (row["transcript"], row["transcript_raw"], row["turns"]) == ([], None, [])


@given(choice_sets, st.data())
def test_nothing_survives_in_a_reject(chosen: dict[str, str], data: st.DataObject) -> None:
    """Whatever a field holds in place of what it should."""
    record: dict[str, Any] = {"id": 5, "done": "maybe", "audio_file_url": data.draw(marked)}
    for name in DROPPABLE:
        if name in ("extra", "transcript_raw", "transcript_source", "turns"):
            continue
        gone = chosen.get(name, "keep") != "keep"
        record[name] = data.draw(marked_values) if gone else "kept"
    if chosen.get("extra") == "drop":
        record |= data.draw(st.dictionaries(marked, marked_values, max_size=2))
    else:
        record["mood"] = "fine"
    kept = rejected(choices(**chosen), record)
    assert not has_mark(kept)
    assert kept["id"] == 5
    assert kept.get("mood") == record.get("mood")
    for name, value in record.items():
        if chosen.get(name) == "hash":
            assert kept.get(name) == (hashed(value) if isinstance(value, str) else None)
            assert (name in kept) is isinstance(value, str)
        elif name in DROPPABLE and chosen.get(name, "keep") == "keep":
            assert kept[name] == "kept"


@pytest.mark.parametrize("record", ["§", [{"phone_number": "§"}], 5, None])
def test_a_record_without_fields_is_kept_only_if_every_column_is(record: Any) -> None:
    assert rejected(KEEP_ALL, record) == record
    assert rejected(choices(phone_number="hash"), record) is None


def test_a_dropped_column_does_not_come_back_as_an_unknown_field() -> None:
    """As when lists begin to send what only details had, or as a value that does not fit."""
    drifted = detail_row(CallDetail.read(KEYS | {"final_score": "§"}), None, NOW)
    assert has_mark(drifted)
    assert not has_mark(choices(final_score="drop").row(drifted))
    sent = KEYS | {"transcript": "§", "transcript_raw": "§", "final_score": 3, "mood": "fine"}
    row = choices(transcript="drop").row(call_row(Call.model_validate(sent), NOW))
    assert row["extra"] == {"final_score": 3, "mood": "fine"}
    assert rejected(choices(transcript="drop"), sent) == KEYS | row["extra"]
    assert rejected(choices(red_flags="drop"), {"technical_error": {"detected": True}}) == {}
    for within, kept in (({"final_score": 3, "outcome": True}, {"outcome": True}), ("3", None)):
        assert rejected(choices(final_score="drop"), {"final_result": within}) == {
            "final_result": kept
        }


def test_rows_of_missing_details_stay_as_they_are() -> None:
    row = missing_detail_row(KEYS["id"], KEYS["agent_id"], NOW, None, NOW, deleted=True)
    assert choices(**dict.fromkeys(DROPPABLE, "drop")).row(row) == row


@pytest.mark.parametrize(
    ("chosen", "phone"),
    [
        ({"phone_number": "drop"}, None),
        ({"phone_number": "hash"}, hashed("+4930")),
        ({"phone_number": "hash", "caller_phone": "drop"}, None),
        ({"phone_number": "drop", "caller_phone": "hash"}, hashed("+4930")),
        ({"caller_phone": "drop"}, None),
        ({"note": "drop"}, "+4930"),
    ],
)
def test_a_record_follows_the_choice_for_numbers(chosen: dict[str, str], phone: str | None) -> None:
    sent = {"call_id": "c", "caller_phone": "+4930", "final_result": {"final_score": "§"}}
    record = PerformanceRecord.read(KEYS | sent)
    row = choices(**chosen, final_score="drop").performance_row(performance_row(record, NOW))
    assert row["caller_phone"] == phone
    assert not has_mark(row)


# Hashes


def test_half_a_character() -> None:
    """The API's response with half an emoji, as the client reads it."""
    sent = parse_json_text(json.dumps(KEYS | {"note": "cut \ud83d"}).encode())
    row = choices(note="hash").row(detail(**sent))
    assert row["note"] == hashed("cut \ufffd")
    assert len(Hasher(SECRET).hash("\ud83d")) == 64


def test_a_hash_has_one_form() -> None:
    """What users compute themselves to join a list of their own; openssl gave this."""
    assert Hasher(f"{'0' * 32}\n").hash("+4930231250") == (
        "31e740bea8564e86a8ecb62000c5c1ff0f6027c08edd1601d6c7f19e263551a0"
    )


def test_no_repr_shows_the_secret() -> None:
    hasher = Hasher(SECRET)
    held = ColumnChoices({"note": "hash"}, hasher)
    assert SECRET not in f"{hasher!r} {held!r} {held}"


# What can be chosen


def test_what_can_be_hashed_are_the_apis_texts() -> None:
    texts = {
        name
        for name, field in Call.model_fields.items()
        if field.annotation == (Text | None) and name not in NEEDED
    }
    assert set(HASHABLE) == texts


def test_recorded() -> None:
    fingerprint = Hasher(SECRET).fingerprint
    chosen = choices(transcript="drop", transcript_raw="drop", note="keep", phone_number="hash")
    assert chosen.recorded == {"phone_number": f"hash-{fingerprint}", "transcript": "drop"}
    assert str(chosen) == f"phone_number: hash-{fingerprint}, transcript: drop"
    assert choices(transcript_raw="drop").recorded == {"transcript_raw": "drop"}
    assert choices(note="keep", id="keep").recorded == {}
    assert str(KEEP_ALL) == "all columns kept"


@pytest.mark.parametrize(
    ("given", "cure"),
    [
        ({"phone": "drop"}, r"'phone', which is no column\. Choose among .*phone_number"),
        ({"a\nb" * 1000: "drop"}, r"is no column\. Choose among .*phone_number"),
        ({"phone_number": "encrypt"}, "'encrypt' of phone_number: say keep, drop or hash"),
        ({"phone_number": ["drop"]}, "say keep, drop or hash"),
        ({"duration": "hash"}, "cannot hash duration: keep or drop it.*phone_number"),
        ({"transcript": "hash"}, "keep or drop it"),
        ({"transcript": "drop", "transcript_raw": "keep"}, "take transcript_raw out"),
        ({"phone_number": "hash", "caller_phone": "keep"}, "take caller_phone out"),
        *[({name: "drop"}, "the provider needs: take it out") for name in NEEDED],
        ({"id": "hash"}, "the provider needs: take it out"),
    ],
    ids=lambda value: str(value)[:60].replace("\n", " "),
)
def test_choices_that_cannot_be(given: dict[str, str], cure: str) -> None:
    with pytest.raises(ColumnChoiceError, match=cure) as caught:
        checked_choices(given)
    assert len(str(caught.value).splitlines()) == 1
    assert len(str(caught.value)) < 900
    assert not caught.value.retryable


def test_hashing_needs_a_secret() -> None:
    with pytest.raises(ColumnChoiceError, match="employee, note cannot be hashed without a secret"):
        ColumnChoices({"note": "hash", "employee": "hash"})
