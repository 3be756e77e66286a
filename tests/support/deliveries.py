"""Deliveries of webhooks: the vendor's own sample, and a signature for any body."""

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
CALL_ENDED: dict[str, Any] = json.loads(
    Path(__file__).with_name("call_ended.json").read_text(encoding="utf-8")
)
"""The sample of the vendor's documentation (guides/webhooks), whose signature is above."""
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
    """Return JSON as TalkPilot writes it: keys sorted, no white space, UTF-8 not escaped."""
    return json.dumps(event, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


def signed(body: bytes, secret: str = SECRET, at: float | None = None) -> dict[str, str]:
    """Return the headers with the signature of a body."""
    timestamp = str(int(time.time() if at is None else at))
    digest = hmac.new(secret.encode(), f"{timestamp}.".encode() + body, hashlib.sha256)
    return {
        "X-TalkPilot-Timestamp": timestamp,
        "X-TalkPilot-Signature": f"sha256={digest.hexdigest()}",
    }


def stored(root: Path) -> dict[str, dict[str, Any]]:
    """Return all events in a folder's inbox, by their paths in it; no unfinished files."""
    inbox = root / "inbox"
    return {
        path.relative_to(inbox).as_posix(): json.loads(path.read_text(encoding="utf-8"))
        for path in sorted(inbox.rglob("*"))
        if path.is_file() and not path.name.startswith(".")
    }
