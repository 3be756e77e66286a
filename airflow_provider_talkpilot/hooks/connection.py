"""The fields of a connection: those of the form, and how to read them.

A connection comes from the form, from JSON or from a URI. Airflow itself splits a URI: in
``talkpilot://:KEY@api.talkpilot.io/v1?tries=3`` the path becomes the connection's *schema*, what
stands before the colon its *login*, and the query its *extra*.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from airflow_provider_talkpilot.api.errors import ConfigurationError
from airflow_provider_talkpilot.api.http.base import LONGEST_TIMEOUT
from airflow_provider_talkpilot.api.models import describe_invalid
from airflow_provider_talkpilot.api.redaction import holds_key, plain

if TYPE_CHECKING:
    from airflow_provider_talkpilot.compat import Connection

URI_SHAPE = "talkpilot://:KEY@api.talkpilot.io/v1"


class Options(BaseModel):
    """The options in a connection's extra; those with a title are fields of the form."""

    model_config = ConfigDict(allow_inf_nan=False, hide_input_in_errors=True)

    requests_per_minute: int | None = Field(
        None,
        ge=1,
        title="Requests per minute",
        description="All tasks together send no more than this. Leave it empty to use what "
        "TalkPilot allows the key.",
    )
    requests_per_hour: int | None = Field(
        None,
        ge=1,
        title="Requests per hour",
        description="All tasks together send no more than this. Leave it empty for 1,000, "
        "TalkPilot's default. If the key may send more, the tasks find that out.",
    )
    quota_share: float | None = Field(
        None,
        ge=0.01,
        le=1,
        title="Share of the quota",
        description="How much of the key's requests per minute may be used: 0.8 leaves a fifth of "
        "them to your other software. Leave it empty to use all (1).",
    )
    timeout: float | None = Field(
        None,
        ge=0.1,
        le=LONGEST_TIMEOUT,
        title="Seconds to wait for a response",
        description="Then the task sends the request again. Leave it empty for 30.",
    )
    connect_timeout: float | None = Field(
        None,
        ge=0.1,
        le=LONGEST_TIMEOUT,
        title="Seconds to wait for a connection",
        description="Then the task tries to connect again. Leave it empty for 10.",
    )
    tries: int | None = Field(
        None,
        ge=1,
        title="Tries",
        description="How often a task sends a request before it fails, if the network or "
        "TalkPilot has a problem. Leave it empty for 7.",
    )
    dashboard_url: str | None = Field(
        None,
        pattern=r"^https://[^\s/]+",
        title="Dashboard",
        description="Address (https) of your TalkPilot dashboard. Tasks' pages link to it. "
        "Leave it empty for no link.",
    )
    # For a sandbox whose windows are shorter.
    minute_seconds: float | None = Field(None, gt=0)
    hour_seconds: float | None = Field(None, gt=0)

    @field_validator("*", mode="before")
    @classmethod
    def _is_no_flag(cls, value: object) -> object:
        if isinstance(value, bool):
            raise ValueError("it should be no true or false")
        return value


FIELD_BEHAVIOUR: dict[str, Any] = {
    # Do not hide the port: without it, the test button of Airflow 3.3.1 and 3.3.2 does not test.
    "hidden-fields": ["schema", "login", "extra"],
    "relabeling": {"host": "Base URL", "port": "Port", "password": "API key"},
    "placeholders": {
        "host": "https://api.talkpilot.io/v1",
        "port": "443",
        "password": "tp_live_ and 32 more characters",
    },
}


def conn_fields() -> dict[str, Any]:
    """Return the options for provider info (Airflow 3), each with its JSON Schema."""
    schemas = Options.model_json_schema()["properties"]
    fields = {}
    for name, option in Options.model_fields.items():
        if option.title:
            kind, null = schemas[name]["anyOf"]
            fields[name] = {
                "label": option.title,
                "description": option.description,
                "schema": kind | {"type": [kind["type"], null["type"]]},
            }
    return fields


def widgets() -> dict[str, Any]:
    """Return the options as form widgets (Airflow 2, whose web server has these packages)."""
    from flask_appbuilder.fieldwidgets import BS3TextFieldWidget
    from wtforms import IntegerField, StringField
    from wtforms.validators import Optional

    return {
        # Airflow 2 refuses a hook with any other kind of field; the hook checks the numbers.
        name: (IntegerField if "integer" in field["schema"]["type"] else StringField)(
            field["label"],
            widget=BS3TextFieldWidget(),
            validators=[Optional()],
            description=field["description"],
        )
        for name, field in conn_fields().items()
    }


class ConnectionFields(NamedTuple):
    """The fields of a connection that the hook uses.

    :param base_url: the API's base URL; the client checks it.
    :param api_key: the key; the client checks it.
    :param options: the options of the extra.
    :param unused: a sentence about fields that have no effect; empty if there are none.
    """

    base_url: str
    api_key: str
    options: Options
    unused: str


def read_fields(connection: Connection, connection_id: str) -> ConnectionFields:
    """Read a connection.

    :param connection: as Airflow has it.
    :param connection_id: for messages.
    :raises ConfigurationError: when an option can never work, or the key is in another field.
    """
    try:
        raw = json.loads(connection.extra) if connection.extra else {}
        extra = {name: value for name, value in raw.items() if value not in (None, "")}
    except (ValueError, AttributeError):
        raise ConfigurationError(
            f"The extra of the connection {connection_id!r} is no JSON object: correct it."
        ) from None
    fields = {"login": connection.login, "schema": connection.schema, "port": connection.port}
    password = connection.password or ""
    if not holds_key(password):
        elsewhere = fields | {f"extra {plain(name)}": value for name, value in extra.items()}
        for place, value in elsewhere.items():
            if holds_key(value):
                raise ConfigurationError(
                    f"The API key of the connection {connection_id!r} is in its {place}, which "
                    "Airflow does not hide: move it to the password. In a URI that is behind a "
                    f"colon: {URI_SHAPE}."
                )
    try:
        options = Options.model_validate(extra)
    except ValidationError as error:
        raise ConfigurationError(
            f"The connection {connection_id!r} has an option that cannot be: correct it, or leave "
            f"it empty. {describe_invalid(error)}."
        ) from None
    url = _base_url(connection)
    unused = [name for name, value in fields.items() if value and _plain_part(value) not in url]
    unused += [f"extra {plain(name)}" for name in extra if name not in Options.model_fields]
    warning = (
        f"The connection {connection_id!r} has fields that are not used: {', '.join(unused)}. The "
        f"key is the password, the host the whole base URL, and the options in extra are "
        f"{', '.join(conn_fields())}."
    )
    return ConnectionFields(url, password, options, warning if unused else "")


def _base_url(connection: Connection) -> str:
    """Return the host, and add the scheme, port and path that it lacks."""
    host, schema = (connection.host or "").strip(), _plain_part(connection.schema or "")
    is_scheme = schema.lower() in ("http", "https")  # as in connections of type HTTP
    # A broken scheme, such as https:/ or https//, stays: the client refuses it.
    if host and not re.match(r".*://|https?[:/]", host, re.IGNORECASE):
        host = f"{schema.lower() if is_scheme else 'https'}://{host}"
    try:
        parts = urlsplit(host)
        if parts.hostname and connection.port and parts.port is None:
            parts = parts._replace(netloc=f"{parts.netloc}:{connection.port}")
    except ValueError:  # no address: the client refuses it
        return host
    if parts.hostname and schema and not is_scheme and not parts.path.strip("/"):
        parts = parts._replace(path=f"/{schema}")
    return parts.geturl()


def _plain_part(value: str | int) -> str:
    return str(value).strip().strip("/")
