"""What belongs to callers, to search for where it must not be."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from airflow_provider_talkpilot.sandbox import Sandbox
from tests.support.tables import Row


def personal(calls: Iterable[Row]) -> dict[str, str]:
    """Texts that tell of callers, and what each of them is.

    :param calls: as the sandbox has them.
    """
    texts = {}
    for call in calls:
        for field in ("customer_name", "phone_number", "call_summary"):
            if call[field]:
                texts[call[field]] = field
        try:
            messages = json.loads(call["transcript"] or "[]")
        except ValueError:
            texts[call["transcript"]] = "transcript"
            continue
        texts |= {m["text"]: "transcript" for m in messages if len(m["text"]) > 15}
    return texts


def secrets_of(*sandboxes: Sandbox) -> dict[str, str]:
    """The keys and all that tells of callers, and what each of them is."""
    secrets: dict[str, str] = {}
    for sandbox in sandboxes:
        secrets |= dict.fromkeys(sandbox.settings.api_keys, "a key")
        secrets |= personal(sandbox.truth("2026-01-01", "2100-01-01"))
    assert len(secrets) > 100, "a search for nothing finds nothing"
    return secrets


def found_in(text: str, secrets: Mapping[str, str]) -> set[str]:
    """What is in a text, as it is or as JSON writes it."""
    return {
        what for secret, what in secrets.items() if any(form in text for form in _forms(secret))
    }


def _forms(text: str) -> set[str]:
    return {text, json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1]}
