"""Rows with the table's columns, made from the API's records, so that a load job can read parts."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

import pydantic_core

from airflow_provider_talkpilot.api import Agent, Call, CallDetail, PerformanceRecord
from airflow_provider_talkpilot.api.interval import format_utc, read_moment
from airflow_provider_talkpilot.api.json_text import parse_json_text
from airflow_provider_talkpilot.api.models import RedFlag, storable
from airflow_provider_talkpilot.staging.columns import PERFORMANCE

# Webhooks' names of roles, and the API's (or our) names for the same.
_ROLES = {
    "assistant": "agent",
    "tool_call_invocation": "tool_call",
    "tool_call_result": "tool_result",
}
# Fields of a webhook's turns that `turns` holds, and two that follow from it: see _hold_all.
_TURN_FIELDS = {
    *("role", "text", "timestamp", "time_sec"),
    *("tool_call_id", "name", "arguments", "successful", "content"),
}
RED_FLAGS = (
    "assistant_misunderstood_multiple_times",
    "repeated_same_sentence",
    "abrupt_end_without_goodbye",
    "connection_issue_repeated",
    "assistant_policy_violation",
    "technical_error",
    "early_hangup_by_caller",
)
"""The red flags that docs.talkpilot.io, api/performance, names. There can be others."""

# Settings of agents: credentials, such as a webhook's address with a secret, and spoken texts.
_CREDENTIAL = re.compile(r"url|secret|passw|token$|api_?key|auth|header")
_SPOKEN = re.compile(r"prompt|greeting|message")


def agent_row(agent: Agent, seen_at: datetime, *, prompts: bool) -> dict[str, Any]:
    """Make a row of the table of agents.

    :param agent: the agent, from the list of agents.
    :param seen_at: when the list was read.
    :param prompts: whether to keep the agent's prompts and spoken texts, which can name people.
    :return: values by column, as in JSON; without addresses and credentials at any depth.
    """
    fields = agent.model_dump(mode="json") | agent.extra | agent.drift
    row = {name: fields.pop(name, None) for name in ("id", "organization_id", "name")}
    prompt, greeting = (
        _text(fields.pop(name, None)) if prompts else None for name in ("prompt", "greeting")
    )
    try:
        changed_at = format_utc(read_moment(fields.pop("updated_at", None)))
    except (ValueError, TypeError):
        changed_at = None
    settings = _without(fields, _CREDENTIAL, *(() if prompts else (_SPOKEN,)))
    return row | {
        "valid_from": changed_at,
        "settings": settings,
        "prompt": prompt,
        "greeting": greeting,
        "synced_at": format_utc(seen_at),
    }


def _without(value: Any, *hidden: re.Pattern[str]) -> Any:
    """Return a JSON value without the fields whose names match, at any depth."""
    if isinstance(value, dict):
        return {
            name: _without(item, *hidden)
            for name, item in sorted(value.items())
            if not any(pattern.search(name.lower()) for pattern in hidden)
        }
    return [_without(item, *hidden) for item in value] if isinstance(value, list) else value


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


def detail_row(detail: CallDetail, version: datetime | None, synced_at: datetime) -> dict[str, Any]:
    """Make a row with the detail columns.

    :param detail: the call's detail.
    :param version: ``updated_at`` of its list row, if it has one.
    :param synced_at: when it was read.
    :return: values by column; ``transcript_raw`` as :func:`parse_transcript` returns it.
    """
    messages, raw = parse_transcript(detail.transcript)
    # A detail can lack updated_at, or come from a replica that lags: it still counts as the
    # version that was requested.
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
    turns = _turns(transcript) if isinstance(transcript, list) else []
    if turns and _hold_all(turns, transcript):
        raw = None
    if not messages and not raw and not isinstance(transcript, list):
        return None
    return {
        "transcript": [m | {"role": _ROLES.get(m["role"], m["role"])} for m in messages],
        "transcript_raw": raw,
        "transcript_source": "webhook" if messages or raw or turns else None,
        "turns": turns,
        "final_score": None,
        "detail_updated_at": row.get("updated_at"),
        "detail_synced_at": synced_at,
        "detail_found": True,
    }


def _turns(transcript: list[Any]) -> list[dict[str, Any]]:
    """Make the values of ``turns`` from a webhook's turns; none if one of them is no object."""
    if not all(isinstance(turn, dict) for turn in transcript):
        return []
    tools = {
        turn["tool_call_id"]: turn.get("name")
        for turn in transcript
        if turn.get("name") and isinstance(turn.get("tool_call_id"), str)
    }
    rows = []
    for position, turn in enumerate(transcript):
        role, seconds, successful = (turn.get(name) for name in ("role", "time_sec", "successful"))
        is_number = isinstance(seconds, int | float) and not isinstance(seconds, bool)
        rows.append(
            {
                "position": position,
                "role": _text(_ROLES.get(role, role) if isinstance(role, str) else role),
                "text": _text(turn.get("text", turn.get("content"))),
                "time_sec": seconds if is_number else None,
                "tool": _text(turn.get("name") or tools.get(str(turn.get("tool_call_id")))),
                "arguments": _text(turn.get("arguments")),
                "successful": successful if isinstance(successful, bool) else None,
            }
        )
    return rows


def _hold_all(rows: list[dict[str, Any]], turns: list[dict[str, Any]]) -> bool:
    """Return whether the rows of ``turns`` hold all that a webhook's turns tell.

    Two fields have no column: ``timestamp`` is the call's start plus ``time_sec``, and
    ``tool_call_id`` tells which result is of which call of a tool, mostly the next one.
    """
    tools = [turn["tool_call_id"] for turn in turns if turn.get("tool_call_id") is not None]
    return tools[::2] == tools[1::2] and all(
        turn.keys() <= _TURN_FIELDS
        and all(row[name] == turn.get(name) for name in ("time_sec", "successful"))
        and (row["time_sec"] is not None or turn.get("timestamp") is None)
        and not ("text" in turn and turn.get("content") is not None)
        for row, turn in zip(rows, turns, strict=True)
    )


def _text(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else _json(value)


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


def performance_row(record: PerformanceRecord, synced_at: datetime) -> dict[str, Any]:
    """Make a row of a performance record.

    :param record: the record, from a list.
    :param synced_at: when it was read.
    :return: values by column. ``red_flags`` has every field with ``detected``, whatever its name;
        not those that are null, which TalkPilot did not look for. ``extra`` has unknown fields and
        values that do not fit.
    """
    row = {**vars(record), "synced_at": synced_at, "red_flags": []}
    extra = record.extra | record.drift
    unfit = dict[str, Any]()
    for name in [name for name, value in extra.items() if is_red_flag(name, value)]:
        value = extra.pop(name)
        if isinstance(value, dict):
            flag = RedFlag.read(value)
            row["red_flags"].append({"name": name, **vars(flag)})
            value = flag.extra | flag.drift
        unfit |= {name: value} if value not in (None, {}) else {}
    extra |= {"red_flags": unfit} if unfit else {}
    if result := record.final_result:
        row["final_result"] = dict(vars(result))
        if unfit := result.extra | result.drift:
            extra["final_result"] = unfit
    for name in ("pre_call_variables", "extracted_variables"):
        row[name] = storable(row[name])
    return row | ({"extra": extra} if extra else {})


def is_red_flag(name: str, value: Any) -> bool:
    """Whether a field of a performance record is a red flag, known or unknown."""
    return name in RED_FLAGS or (isinstance(value, dict) and "detected" in value)


def without_personal(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row of a performance record with its personal data emptied."""
    kept = dict(row)
    for column in PERFORMANCE:
        value = row.get(column.name)
        if column.is_personal and column.name in row:
            kept[column.name] = None
        elif column.fields and value:
            empty = {field.name: None for field in column.fields if field.is_personal}
            kept[column.name] = (
                [item | empty for item in value] if column.is_repeated else value | empty
            )
    return kept


def parse_transcript(transcript: Any) -> tuple[list[dict[str, str]], str | None]:
    """Parse a transcript into messages.

    An item of the transcript with a ``role`` and a ``text``, both texts, is a message. Others, such
    as the call of a tool and its result, are not.

    :param transcript: the API's JSON string, or the parsed value of one.
    :return: messages with ``role`` and ``text``, in order; and the whole transcript as JSON, if the
        messages do not hold all of it.
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
    messages = [
        {"role": item["role"], "text": item["text"]}
        for item in parsed
        if isinstance(item, dict)
        and isinstance(item.get("role"), str)
        and isinstance(item.get("text"), str)
    ]
    return messages, None if messages == parsed else raw


def _json(value: object) -> str:
    return pydantic_core.to_json(value).decode()
