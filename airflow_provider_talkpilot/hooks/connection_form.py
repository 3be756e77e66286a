"""The connection's form, in one place for Airflow 2 (the hook) and 3 (provider info)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Extra:
    """An option of the connection.

    :param kind: turns what was typed into a number.
    """

    label: str
    description: str
    kind: Callable[[Any], int | float]

    @property
    def schema_type(self) -> str:
        """JSON Schema's name of the type."""
        return "integer" if self.kind is int else "number"


EXTRAS: dict[str, Extra] = {
    "requests_per_minute": Extra(
        "Requests a minute",
        "A ceiling of your own below the key's limit; empty for the limit that TalkPilot tells.",
        int,
    ),
    "requests_per_hour": Extra(
        "Requests an hour",
        "A ceiling of your own; empty to learn the key's limit from TalkPilot.",
        int,
    ),
    "quota_share": Extra(
        "Share of the quota",
        "Part of the key's limit to use, over 0 up to 1; the rest is left to other software.",
        float,
    ),
    "timeout": Extra("Time-out", "Seconds to wait for an answer (30).", float),
    "connect_timeout": Extra("Connect time-out", "Seconds to wait for a connection (10).", float),
    "tries": Extra("Tries", "How often a request is sent when the network fails (7).", int),
}

FIELD_BEHAVIOUR: dict[str, Any] = {
    "hidden-fields": ["schema", "login", "port", "extra"],
    "relabeling": {"host": "Base URL", "password": "API key"},
    "placeholders": {
        "host": "https://<project_ref>.supabase.co/functions/v1/api/v1",
        "password": "tp_live_…",
    },
}


def conn_fields() -> dict[str, Any]:
    """The options as provider info wants them (Airflow 3)."""
    return {
        name: {
            "label": extra.label,
            "description": extra.description,
            "schema": {"type": [extra.schema_type, "null"]},
        }
        for name, extra in EXTRAS.items()
    }


def widgets() -> dict[str, Any]:
    """The options as form widgets (Airflow 2, whose web server has these packages)."""
    from flask_appbuilder.fieldwidgets import BS3TextFieldWidget
    from wtforms import IntegerField, StringField
    from wtforms.validators import Optional

    return {
        # Airflow 2 refuses a hook with any other kind of field; the hook checks the numbers.
        name: (IntegerField if extra.kind is int else StringField)(
            extra.label,
            widget=BS3TextFieldWidget(),
            validators=[Optional()],
            description=extra.description,
        )
        for name, extra in EXTRAS.items()
    }
