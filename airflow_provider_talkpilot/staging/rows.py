"""From the API's records to rows as the table has them, so that a load job reads parts as is."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pydantic_core

from airflow_provider_talkpilot.api import Call, CallDetail
from airflow_provider_talkpilot.api.json_text import parse_json_text

_MESSAGE_FIELDS = {"role", "text"}


def call_row(call: Call, synced_at: datetime) -> dict[str, Any]:
    """Make a list row.

    :param call: the call as a list gave it.
    :param synced_at: when it was read.
    :return: values by column; ``extra`` only where the API sent unknown fields, and ``drift`` only
        where it sent values that do not fit their columns.
    """
    row = {**vars(call), "synced_at": synced_at}
    if extra := call.extra:
        row["extra"] = extra
    if drift := call.drift:
        row["drift"] = drift
    return row


def detail_row(detail: CallDetail, version: datetime | None, synced_at: datetime) -> dict[str, Any]:
    """Make a row with the detail columns.

    :param detail: the call as its own address gave it.
    :param version: ``updated_at`` of its list row, if it has one.
    :param synced_at: when it was read.
    :return: values by column; ``transcript_raw`` only where ``transcript`` does not hold it all.
    """
    messages, raw = parse_transcript(detail.transcript)
    # A detail without updated_at, or from a copy that lags, still is the version requested.
    updated_at = max((v for v in (detail.updated_at, version) if v), default=None)
    row = call_row(detail, synced_at)
    del row["audio_file_url"]
    if drift := row.pop("drift", None):
        lists = {name: value for name, value in drift.items() if name in Call.model_fields}
        details = {name: value for name, value in drift.items() if name not in lists}
        row |= ({"drift": lists} if lists else {}) | ({"detail_drift": details} if details else {})
    return row | {
        "updated_at": updated_at,
        "transcript": messages,
        "transcript_raw": raw,
        "final_score": detail.final_score,
        "detail_updated_at": updated_at,
        "detail_synced_at": synced_at,
        "detail_found": True,
    }


def missing_detail_row(
    call_id: str, agent_id: str, created_at: datetime, version: datetime | None, now: datetime
) -> dict[str, Any]:
    """Make the row that notes: this version was requested, and the API has no detail of it.

    :return: values by column, none of them content.
    """
    return {
        "id": call_id,
        "agent_id": agent_id,
        "created_at": created_at,
        "updated_at": version,
        "synced_at": now,
        "transcript": [],
        "final_score": None,
        "detail_updated_at": version,
        "detail_synced_at": now,
        "detail_found": False,
    }


def parse_transcript(transcript: Any) -> tuple[list[dict[str, str]], str | None]:
    """Parse a transcript into messages.

    What has a ``role`` and a ``text``, both texts, is a message. All else in the list is none, such
    as the call of a tool and its result.

    :param transcript: the API's JSON string, or what such a string would hold.
    :return: messages with ``role`` and ``text``, in order; and the whole transcript as JSON, as it
        came, wherever the messages do not hold all of it.
    """
    if transcript is None:
        return [], None
    raw = transcript if isinstance(transcript, str) else _json(transcript)
    try:
        parsed = parse_json_text(raw)
    except ValueError:
        return [], raw
    if parsed is None:
        return [], None
    if not isinstance(parsed, list):
        return [], raw
    messages = [m for m in parsed if _is_message(m)]
    is_all = len(messages) == len(parsed) and all(m.keys() == _MESSAGE_FIELDS for m in messages)
    return [{"role": m["role"], "text": m["text"]} for m in messages], None if is_all else raw


def _is_message(item: object) -> bool:
    return (
        isinstance(item, dict)
        and isinstance(item.get("role"), str)
        and isinstance(item.get("text"), str)
    )


def _json(value: object) -> str:
    return pydantic_core.to_json(value).decode()
