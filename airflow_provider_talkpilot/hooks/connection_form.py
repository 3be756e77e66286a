"""The connection's form, in one place for Airflow 2 (the hook) and 3 (provider info)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Extra:
    """An option of the connection.

    :param kind: int for whole numbers, from 1; float for any over 0.
    :param most: the largest number that makes sense.
    """

    label: str
    description: str
    kind: Callable[[Any], Any]
    most: int | None = None

    @property
    def schema(self) -> dict[str, Any]:
        """JSON Schema of what may be typed; the form lets nothing else in."""
        is_whole = self.kind is int
        schema: dict[str, Any] = {
            "type": ["integer" if is_whole else "number", "null"],
            "minimum": 1 if is_whole else 0,
        }
        return schema if self.most is None else schema | {"maximum": self.most}

    def read(self, value: Any) -> Any:
        """Read what the form or a JSON text holds.

        :raises ValueError: when it is no such number; the message says what is.
        """
        try:
            number = math.nan if isinstance(value, bool) else float(value)
        except (OverflowError, TypeError, ValueError):
            number = math.nan
        if not 0 < number < math.inf or (self.kind is int and not number.is_integer()):
            raise ValueError(f"give a {'whole ' if self.kind is int else ''}number over 0")
        if self.most is not None and number > self.most:
            raise ValueError(f"give a number over 0 and up to {self.most}")
        return self.kind(number)


@dataclass(frozen=True)
class Address(Extra):
    """An option that is the address of a page."""

    kind: Callable[[Any], Any] = str

    @property
    def schema(self) -> dict[str, Any]:
        """JSON Schema of what may be typed."""
        return {"type": ["string", "null"]}

    def read(self, value: Any) -> str:
        """Read an address.

        :raises ValueError: when it is none that a browser can open.
        """
        address = value.strip() if isinstance(value, str) else ""
        parts = urlsplit(address)
        if parts.scheme != "https" or not parts.hostname:
            raise ValueError("give an address that begins with https://")
        return address


EXTRAS: dict[str, Extra] = {
    "requests_per_minute": Extra(
        "Requests per minute",
        "All tasks together send no more than this. Leave it empty to use what TalkPilot allows "
        "the key.",
        int,
    ),
    "requests_per_hour": Extra(
        "Requests per hour",
        "All tasks together send no more than this. Leave it empty for 1,000, TalkPilot's default; "
        "a key that may send more is found out.",
        int,
    ),
    "quota_share": Extra(
        "Share of the quota",
        "How much of the key's requests per minute may be used: 0.8 leaves a fifth of them to your "
        "other software. Leave it empty to use all (1).",
        float,
        most=1,
    ),
    "timeout": Extra(
        "Seconds to wait for a response",
        "Then the request is sent again. Leave it empty for 30.",
        float,
    ),
    "connect_timeout": Extra(
        "Seconds to wait for a connection",
        "Then it is tried again. Leave it empty for 10.",
        float,
    ),
    "tries": Extra(
        "Tries",
        "How often a request is sent before the task fails, where the network or TalkPilot has a "
        "problem. Leave it empty for 7.",
        int,
    ),
    "dashboard_url": Address(
        "Dashboard",
        "Address of your TalkPilot dashboard, to link tasks' pages to. Leave it empty for no link.",
    ),
}

SANDBOX_EXTRAS: dict[str, Extra] = {
    name: Extra(f"Length of the sandbox's {name.partition('_')[0]}", "Not in the form.", float)
    for name in ("minute_seconds", "hour_seconds")
}
"""Options that the form does not have: they go with a sandbox whose windows are shorter."""

FIELD_BEHAVIOUR: dict[str, Any] = {
    # Not the port: without one, the test button of Airflow 3.3.1 and 3.3.2 refuses to test.
    "hidden-fields": ["schema", "login", "extra"],
    "relabeling": {"host": "Base URL", "port": "Port", "password": "API key"},
    "placeholders": {
        "host": "https://api.talkpilot.io/v1",
        "port": "443",
        "password": "tp_live_ and 32 more characters",
    },
}


def conn_fields() -> dict[str, Any]:
    """The options as provider info wants them (Airflow 3)."""
    return {
        name: {"label": extra.label, "description": extra.description, "schema": extra.schema}
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
