"""Transcripts: the messages and turns of a call, from the API's text or a webhook's list."""

from __future__ import annotations

from typing import Any

from airflow_provider_talkpilot.api.json_text import as_json, as_text, parse_json_text

# Webhooks' names of roles, and the API's (or our) names for the same.
API_ROLES = {
    "assistant": "agent",
    "tool_call_invocation": "tool_call",
    "tool_call_result": "tool_result",
}
# Fields of a webhook's turns that `turns` holds, and two that follow from it: see hold_all.
_TURN_FIELDS = {
    *("role", "text", "timestamp", "time_sec"),
    *("tool_call_id", "name", "arguments", "successful", "content"),
}


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
    raw = transcript if isinstance(transcript, str) else as_json(transcript)
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


def make_turns(transcript: list[Any]) -> list[dict[str, Any]]:
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
                "role": as_text(API_ROLES.get(role, role) if isinstance(role, str) else role),
                "text": as_text(turn.get("text", turn.get("content"))),
                "time_sec": seconds if is_number else None,
                "tool": as_text(turn.get("name") or tools.get(str(turn.get("tool_call_id")))),
                "arguments": as_text(turn.get("arguments")),
                "successful": successful if isinstance(successful, bool) else None,
            }
        )
    return rows


def hold_all(rows: list[dict[str, Any]], turns: list[dict[str, Any]]) -> bool:
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
