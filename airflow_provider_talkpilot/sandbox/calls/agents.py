"""Made-up agents, as ``GET /agents`` shows them."""

from __future__ import annotations

import datetime as dt
from typing import Any

from airflow_provider_talkpilot.sandbox.calls.data import (
    ID_MASK,
    Row,
    fake_phone_number,
    number_of,
    to_uuid,
)
from airflow_provider_talkpilot.sandbox.calls.texts import LANGUAGES
from airflow_provider_talkpilot.sandbox.calls.times import DAY, SECOND, day_micros, to_iso

_NOT_IN_SPRING = frozenset(
    {
        "organization_id",
        "formality",
        "stt_provider",
        "tts_provider",
        "prompt",
        "schedule",
        "retention_days",
    }
)


def shown_agent(agent: Row, *, is_full: bool) -> Row:
    """Return a copy of an agent with the fields that the API shows.

    :param agent: all fields.
    :param is_full: whether the API shows the fields that spring did not have.
    """
    return {name: value for name, value in agent.items() if is_full or name not in _NOT_IN_SPRING}


def make_agent(seed: int, number: int, **fields: Any) -> Row:
    """Make an agent.

    :param seed: the same seed makes the same agent.
    :param number: 0 is the first agent. Even numbers speak German, odd ones English.
    :param fields: values instead of the made-up ones.
    """
    words = LANGUAGES[number % len(LANGUAGES)]
    place = number // len(LANGUAGES)
    name = words.agent_names[place % len(words.agent_names)]
    series = place // len(words.agent_names)
    created = day_micros(dt.date(2025, 1, 6)) + 9 * 3600 * SECOND + number * 61 * SECOND
    return {
        "id": to_uuid(number_of(seed, "agent", number) & ID_MASK),
        "organization_id": to_uuid(number_of(seed, "organization") & ID_MASK),
        "name": name if series == 0 else f"{name} {series + 1}",
        "phone_number": fake_phone_number(words, number % 100 / 100),
        "is_active": number % 7 != 6,
        "language": words.code,
        "formality": "formal",
        "llm_provider": "openai",
        "llm_model": "gpt-4o-mini",
        "voice_id": f"voice-{number_of(seed, 'voice', number) % 16**8:08x}",
        "stt_provider": "deepgram",
        "tts_provider": "elevenlabs",
        "prompt": words.prompt,
        "greeting": words.greeting,
        "schedule": {"timezone": "Europe/Berlin", "weekdays": {"from": "07:00", "to": "18:00"}},
        "max_call_duration": 1800,
        "recording_enabled": True,
        "retention_days": None,
        "post_call_webhook_url": None,
        "created_at": to_iso(created),
        "updated_at": to_iso(created + DAY),
        **fields,
    }
