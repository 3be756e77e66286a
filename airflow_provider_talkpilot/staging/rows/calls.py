"""Rows of calls: from the list, from a detail, and from a webhook's event."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from airflow_provider_talkpilot.api import Call, CallDetail
from airflow_provider_talkpilot.staging.rows.transcripts import (
    API_ROLES,
    hold_all,
    make_turns,
    parse_transcript,
)


def call_row(call: Call, synced_at: datetime) -> dict[str, Any]:
    """Make a list row.

    :param call: the call, from a list.
    :param synced_at: when it was read.
    :return: values by column; with ``extra`` only if the API sent unknown fields, and with
        ``drift`` only if it sent values that do not fit their columns.
    """
    row = {**vars(call), "synced_at": synced_at}
    if extra := call.extra:
        row["extra"] = extra
    if drift := call.drift:
        row["drift"] = drift
    return row


def detail_row(
    detail: CallDetail,
    version: datetime | None,
    synced_at: datetime,
    list_extra: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Make a row with the detail columns.

    :param detail: the call's detail.
    :param version: ``updated_at`` of its list row, if it has one.
    :param synced_at: when it was read.
    :param list_extra: unknown fields of its list row; those that the detail lacks are kept.
    :return: values by column; ``transcript_raw`` as :func:`parse_transcript` returns it.
    """
    messages, raw = parse_transcript(detail.transcript)
    # A detail can lack updated_at, or come from a replica that lags: it still counts as the
    # version that was requested.
    updated_at = max((v for v in (detail.updated_at, version) if v), default=None)
    row = call_row(detail, synced_at)
    del row["audio_file_url"]
    if list_extra:
        of_list = {k: v for k, v in list_extra.items() if k not in CallDetail.model_fields}
        row["extra"] = of_list | detail.extra
    if drift := row.pop("drift", None):
        lists = {name: value for name, value in drift.items() if name in Call.model_fields}
        details = {name: value for name, value in drift.items() if name not in lists}
        row |= ({"drift": lists} if lists else {}) | ({"detail_drift": details} if details else {})
    return row | {
        "updated_at": updated_at,
        "transcript": messages,
        "transcript_raw": raw,
        "transcript_source": "api" if messages or raw else None,
        "turns": [],
        "final_score": detail.final_score,
        "detail_updated_at": updated_at,
        "detail_synced_at": synced_at,
        "detail_found": True,
    }


def event_row(row: dict[str, Any], transcript: Any, synced_at: datetime) -> dict[str, Any] | None:
    """Make the detail columns from the transcript of a webhook's event.

    :param row: the call's list row.
    :param transcript: a list of turns, or the text that ``call.completed`` has.
    :param synced_at: when the event was read.
    :return: values by column, without the list's columns; None if the event has no transcript. An
        empty list is a transcript without a word. ``transcript_raw`` has the whole if ``turns``
        cannot hold it.
    """
    messages, raw = parse_transcript(transcript)
    turns = make_turns(transcript) if isinstance(transcript, list) else []
    if turns and hold_all(turns, transcript):
        raw = None
    if not messages and not raw and not isinstance(transcript, list):
        return None
    return {
        "transcript": [m | {"role": API_ROLES.get(m["role"], m["role"])} for m in messages],
        "transcript_raw": raw,
        "transcript_source": "webhook" if messages or raw or turns else None,
        "turns": turns,
        "final_score": None,
        "detail_updated_at": row.get("updated_at"),
        "detail_synced_at": synced_at,
        "detail_found": True,
    }


def missing_detail_row(
    call_id: str,
    agent_id: str,
    created_at: datetime,
    version: datetime | None,
    now: datetime,
    *,
    deleted: bool,
) -> dict[str, Any]:
    """Make the row of a version that was requested, and of which the API has no detail.

    :param deleted: whether the call is soft-deleted. If not, it vanished: its row changes nothing
        in the table, and spares the next try the request.
    :return: values by column, without content of the call.
    """
    return {
        "id": call_id,
        "agent_id": agent_id,
        "created_at": created_at,
        "updated_at": version,
        "synced_at": now,
        "transcript": [],
        "final_score": None,
        "detail_updated_at": version if deleted else None,
        "detail_synced_at": now if deleted else None,
        "detail_found": False,
    }


def has_vanished(row: dict[str, Any]) -> bool:
    """Return whether a staged detail says that its call vanished after it was listed."""
    return row["detail_synced_at"] is None
