"""Writes transcripts in each form that the vendor's documentation shows."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from airflow_provider_talkpilot.sandbox.calls.json_text import to_json

_SECONDS_A_TURN = 7.25
_TOOL_AFTER = 3
"""The number of turns before the agent calls its tool."""


class TranscriptStyle(NamedTuple):
    """The form of transcripts; the fields are settings of the sandbox."""

    role: str
    has_times: bool
    has_tools: bool

    def messages(self, turns: Iterable[tuple[str, str]], hour: int) -> list[dict[str, Any]]:
        """Make the entries of a transcript.

        :param turns: role (``agent`` or ``user``) and text of each turn.
        :param hour: the argument of the tool call.
        """
        entries: list[dict[str, Any]] = []
        for number, (role, text) in enumerate(turns):
            if self.has_tools and number == _TOOL_AFTER:
                entries += _tool_entries(hour)
            entries.append({"role": self.role if role == "agent" else role, "text": text})
        if self.has_times:
            for number, entry in enumerate(entries):
                entry["time_sec"] = round(1.5 + number * _SECONDS_A_TURN, 2)
        return entries

    def write(self, turns: Iterable[tuple[str, str]], hour: int) -> str:
        """Return the transcript as JSON text; see :meth:`messages`."""
        return to_json(self.messages(turns, hour)).decode()


def _tool_entries(hour: int) -> list[dict[str, Any]]:
    tool_call_id = f"call_{hour:04x}"
    return [
        {
            "role": "tool_call_invocation",
            "tool_call_id": tool_call_id,
            "name": "check_availability",
            "arguments": to_json({"hour": hour}).decode(),
        },
        {
            "role": "tool_call_result",
            "tool_call_id": tool_call_id,
            "successful": True,
            "content": to_json({"slots": [f"{hour:02d}:00"]}).decode(),
        },
    ]
