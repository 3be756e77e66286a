"""Deliveries of webhooks: the vendor's own sample, and headers that fit a body."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from pathlib import Path
from typing import Any

SECRET = "beispiel-webhook-secret"
PATH_SECRET = "in-the-address-4711"
AGENT = "5c1f0f9e-2b7a-4d3e-9c1a-0f6b2d7e8a11"
SAMPLE_TIME = 1788776142
SAMPLE_SIGNATURE = "sha256=8470225fe8cb45c069f89a9eea963b3702764a670e542b314094ef57167d3525"
"""Of the sample below, as the vendor's documentation has it (guides/webhooks)."""

CALL_ENDED: dict[str, Any] = {
    "event": "call_ended",
    "call_id": "call_3f9a1c7e2b8d4e6f",
    "caller_phone": "+491701234567",
    "called_phone": "+4930123456",
    "agent_id": AGENT,
    "agent_name": "Rezeption Musterfirma",
    "duration_seconds": 63,
    "transcript": [
        {
            "role": "assistant",
            "text": "Guten Tag, Musterfirma, was kann ich für Sie tun?",
            "timestamp": "2026-09-07T10:14:40.200000+00:00",
            "time_sec": 1.2,
        },
        {
            "role": "user",
            "text": "Ich habe eine Frage zu meiner Rechnung.",
            "timestamp": "2026-09-07T10:14:43.800000+00:00",
            "time_sec": 4.8,
        },
        {
            "role": "assistant",
            "text": "Gern, ich verbinde Sie mit der Buchhaltung.",
            "timestamp": "2026-09-07T10:14:46.500000+00:00",
            "time_sec": 7.5,
        },
        {
            "role": "tool_call_invocation",
            "tool_call_id": "call_tc_01",
            "name": "transfer_buchhaltung",
            "arguments": '{"phone_number": "+4930123457"}',
            "time_sec": 9.1,
            "type": "transfer_call",
        },
        {
            "role": "tool_call_result",
            "tool_call_id": "call_tc_01",
            "successful": True,
            "content": '{"success": true, "status": "transferred"}',
            "time_sec": 14.6,
        },
    ],
    "total_turns": 5,
    "pre_call_variables": {"kundenname": "Erika Musterfrau", "kundennummer": "K-10442"},
    "extracted_variables": {"anliegen": "Rechnungsfrage"},
    "recording_url": "https://storage.example/call_recordings/2026/09/call_3f9a1c7e2b8d4e6f.ogg",
    "recording_multi_channel_url": None,
    "public_log_url": "https://talk.talkpilot.io/rooms/call-3f9a1c7e",
    "disconnection_reason": "user_hangup",
    "latency": None,
    "max_response_gap_ms": 1450,
    "timestamp": "2026-09-07T10:15:42+00:00",
}
CALL_COMPLETED: dict[str, Any] = {
    "event": "call.completed",
    "call": {
        "id": "0e8a3c1e-57a5-4c1f-9f0e-0a51f6e1b001",
        "call_id": "lk_call_abc123",
        "customer_name": "Hans Meier",
        "phone_number": "+491701234567",
        "duration": 180,
        "transcript": '[{"role":"agent","text":"…"}]',
        "agent_id": AGENT,
        "created_at": "2026-03-22T10:30:00Z",
    },
}


def body_of(event: Any) -> bytes:
    """As TalkPilot writes it: keys sorted, no white space, UTF-8 not escaped."""
    return json.dumps(event, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


def signed(body: bytes, secret: str = SECRET, at: float | None = None) -> dict[str, str]:
    """Headers with the signature of a body."""
    timestamp = str(int(time.time() if at is None else at))
    digest = hmac.new(secret.encode(), f"{timestamp}.".encode() + body, hashlib.sha256)
    return {
        "X-TalkPilot-Timestamp": timestamp,
        "X-TalkPilot-Signature": f"sha256={digest.hexdigest()}",
    }


def stored(root: Path) -> dict[str, dict[str, Any]]:
    """All events in the inbox of a folder, by their paths in it; not what a kill left half done."""
    inbox = root / "inbox"
    return {
        path.relative_to(inbox).as_posix(): json.loads(path.read_text(encoding="utf-8"))
        for path in sorted(inbox.rglob("*"))
        if path.is_file() and not path.name.startswith(".")
    }
