"""What a client is given, checked before anything is sent."""

from __future__ import annotations

import math
import re

from airflow_provider_talkpilot.api.errors import ConfigurationError
from airflow_provider_talkpilot.api.models import UUID_PATTERN
from airflow_provider_talkpilot.api.redaction import plain

_KEY_SHAPE = re.compile(r"tp_live_[0-9a-fA-F]{32}")
_UUID = re.compile(UUID_PATTERN)


def require_uuid(name: str, value: object) -> str:
    """Return a UUID as the API writes it: small letters, no white space around it.

    :raises ConfigurationError: when it is not; such an id would otherwise reach the URL.
    """
    found = str(value).strip().lower()
    if not _UUID.fullmatch(found):
        raise ConfigurationError(
            f"The {name} {plain(value)!r} is no UUID: copy it from TalkPilot's dashboard or from "
            "the list of agents."
        )
    return found


def check_options(**options: float) -> None:
    """Refuse time-outs and numbers of tries that can never work.

    :raises ConfigurationError: naming the option.
    """
    for name, value in options.items():
        least = 1 if name == "tries" else 0
        if not least <= value < math.inf or value == 0:
            raise ConfigurationError(
                f"{name} is {value}: give {'at least 1' if least else 'a number over 0'}, or leave "
                "it empty."
            )


def checked_key(api_key: str) -> str:
    """Return a key that has the shape of one.

    :raises ConfigurationError: when it has not.
    """
    api_key = (api_key or "").strip()
    if not _KEY_SHAPE.fullmatch(api_key):
        raise ConfigurationError(
            "The API key is malformed: it is tp_live_ and 32 hex digits, and "
            f"{f'{len(api_key)} characters were given' if api_key else 'none was given'}. Copy it "
            "again from TalkPilot's dashboard into the connection's password."
        )
    return api_key
