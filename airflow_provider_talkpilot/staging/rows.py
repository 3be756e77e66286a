"""From the API's records to rows as the table has them, so that a load job reads parts as is."""

from __future__ import annotations

from datetime import datetime
from types import NoneType
from typing import Any

import pydantic_core

from airflow_provider_talkpilot.api import Call, CallDetail
from airflow_provider_talkpilot.api.json_text import parse_json_text

_MESSAGE_FIELDS = {"role", "text"}
_TEXT = (str, NoneType)


def call_row(call: Call, synced_at: datetime | str) -> dict[str, Any]:
    """Make a list row.

    :param call: the call as a list gave it.
    :param synced_at: when it was read; as a text of ISO 8601 it is faster for many rows.
    :return: values by column; no ``extra`` where the API sent no unknown field.
    """
    row = {**vars(call), "synced_at": synced_at}
    if extra := call.extra:
        row["extra"] = extra
    return row


def detail_row(detail: CallDetail, version: datetime | None, synced_at: datetime) -> dict[str, Any]:
    """Make a row with the detail columns.

    :param detail: the call as its own address gave it.
    :param version: ``updated_at`` of the list row that called for it, if it has one.
    :param synced_at: when it was read.
    :return: values by column; ``transcript_raw`` only where ``transcript`` does not hold it all.
    """
    messages, raw = parse_transcript(detail.transcript)
    # An answer without updated_at, or from a copy that lags, still settles the version asked for.
    settled = max((v for v in (detail.updated_at, version) if v), default=None)
    row = call_row(detail, synced_at)
    del row["audio_file_url"]
    return row | {
        "updated_at": settled,
        "transcript": messages,
        "transcript_raw": raw,
        "final_score": detail.final_score,
        "detail_updated_at": settled,
        "detail_synced_at": synced_at,
        "detail_found": True,
    }


def missing_detail_row(
    call_id: str, agent_id: str, created_at: datetime, version: datetime | None, asked_at: datetime
) -> dict[str, Any]:
    """Make the row that notes: this version was asked for, and the API has no detail of it.

    :return: values by column, none of them content.
    """
    return {
        "id": call_id,
        "agent_id": agent_id,
        "created_at": created_at,
        "updated_at": version,
        "synced_at": asked_at,
        "transcript": [],
        "final_score": None,
        "detail_updated_at": version,
        "detail_synced_at": asked_at,
        "detail_found": False,
    }


def parse_transcript(
    transcript: str | list[Any] | None,
) -> tuple[list[dict[str, str | None]], str | None]:
    """Parse a transcript into messages.

    :param transcript: the API's JSON string, or a list already.
    :return: messages with ``role`` and ``text``; and the transcript as it came wherever the
        messages do not hold all of it (it does not parse, or messages have more to them).
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
    if not isinstance(parsed, list) or not all(_is_message(message) for message in parsed):
        return [], raw
    messages = [{"role": m.get("role"), "text": m.get("text")} for m in parsed]
    return messages, None if all(m.keys() <= _MESSAGE_FIELDS for m in parsed) else raw


def _is_message(message: object) -> bool:
    return (
        isinstance(message, dict)
        and isinstance(message.get("role"), _TEXT)
        and isinstance(message.get("text"), _TEXT)
    )


def _json(value: object) -> str:
    return pydantic_core.to_json(value).decode()
