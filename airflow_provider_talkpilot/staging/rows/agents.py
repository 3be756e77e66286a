"""Rows of agents: each agent as the list has it."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

from airflow_provider_talkpilot.api import Agent
from airflow_provider_talkpilot.api.interval import format_utc, read_moment
from airflow_provider_talkpilot.api.json_text import as_text

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
    row = {name: as_text(fields.pop(name, None)) for name in ("id", "organization_id", "name")}
    prompt, greeting = (
        as_text(fields.pop(name, None)) if prompts else None for name in ("prompt", "greeting")
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
