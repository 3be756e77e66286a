"""What belongs to callers, to search for where it must not be."""

from __future__ import annotations

import json
from collections.abc import Mapping

from airflow_provider_talkpilot.sandbox import Sandbox

FIELDS = ("phone_number", "customer_name", "customer_request", "call_summary", "note", "employee")


def secrets_of(*sandboxes: Sandbox) -> dict[str, str]:
    """Return the keys and all texts about callers, each with the name of its field."""
    secrets: dict[str, str] = {}
    for sandbox in sandboxes:
        secrets |= dict.fromkeys(sandbox.settings.api_keys, "a key")
        for call in sandbox.store.truth("2026-01-01", "2100-01-01"):
            secrets |= {call[field]: field for field in FIELDS if call[field]}
            try:
                messages = json.loads(call["transcript"] or "[]")
            except ValueError:
                messages = [{"text": call["transcript"]}]
            secrets |= {message["text"]: "transcript" for message in messages}
    secrets = {text: field for text, field in secrets.items() if len(text) > 7}
    assert len(secrets) > 100, "a search for nothing finds nothing"
    return secrets


def found_in(text: str, secrets: Mapping[str, str]) -> set[str]:
    """Return the names of the secrets that a text contains, in any form that logs have."""
    return {
        field for secret, field in secrets.items() if any(form in text for form in _forms(secret))
    }


def _forms(text: str) -> set[str]:
    """Return a text as it is, in a URL, in JSON, and as a Python literal."""
    line = max(text.splitlines(), key=len)
    in_json = json.dumps(line)[1:-1], json.dumps(line, ensure_ascii=False)[1:-1]
    return {line, line.replace("+", "%2B"), *in_json, repr(line)[1:-1]}
