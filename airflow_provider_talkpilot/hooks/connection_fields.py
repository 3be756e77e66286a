"""The fields of a connection, read: from the form, from JSON or from a URI.

Airflow takes a URI apart by itself: in ``talkpilot://:KEY@api.talkpilot.io/v1?tries=3`` the path is
the connection's *schema*, what stands before the colon its *login*, and the query its *extra*.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from airflow_provider_talkpilot.api.errors import ConfigurationError
from airflow_provider_talkpilot.api.http.address import BASE_URL_SHAPE
from airflow_provider_talkpilot.api.redaction import holds_key, plain
from airflow_provider_talkpilot.hooks.connection_form import EXTRAS, SANDBOX_EXTRAS

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Connection

URI_SHAPE = "talkpilot://:KEY@api.talkpilot.io/v1"

# Where what people put into extra belongs instead.
_FIELDS = {
    "password": ("password", "key", "api_key", "apikey", "x_api_key", "token", "api_token"),
    "host": ("host", "url", "base_url", "api_url", "endpoint", "schema", "path"),
    "port": ("port",),
}


@dataclass(frozen=True)
class ConnectionFields:
    """What a connection says.

    :param base_url: the API's base URL, as far as it is given.
    :param api_key: the key, as it was given.
    :param extras: the options that are set, as numbers and texts.
    :param unused: a sentence about the fields that are not used; empty where there are none.
    """

    base_url: str
    api_key: str
    extras: dict[str, Any]
    unused: str


def read_fields(connection: Connection, connection_id: str) -> ConnectionFields:
    """Read a connection.

    :param connection: as Airflow found it.
    :param connection_id: for messages.
    :raises ConfigurationError: when an option can never work, or the key is in the wrong field.
    """
    given = _given_extra(connection, connection_id)
    password = connection.password or ""
    if not holds_key(password):
        _require_no_key_elsewhere(connection, given, connection_id)
    base_url, unused = _base_url(connection)
    if connection.login:
        unused.append("login (TalkPilot takes a key alone, which is the password)")
    unused += _unused_extras(given)
    return ConnectionFields(
        base_url,
        password,
        _extras(given, connection_id),
        f"The connection {connection_id!r} has what is not used: {'; '.join(unused)}."
        if unused
        else "",
    )


def _given_extra(connection: Connection, connection_id: str) -> dict[str, Any]:
    """The extra's entries that hold something."""
    try:
        raw = json.loads(connection.extra) if connection.extra else {}
    except ValueError:
        raw = None
    if not isinstance(raw, dict):
        raise ConfigurationError(
            f"The extra of the connection {connection_id!r} is no JSON object: correct it."
        )
    return {name: value for name, value in raw.items() if value not in (None, "")}


def _require_no_key_elsewhere(
    connection: Connection, given: dict[str, Any], connection_id: str
) -> None:
    places = {"login": connection.login, "schema": connection.schema} | {
        f"extra {plain(name)}": value for name, value in given.items()
    }
    for place, value in places.items():
        if holds_key(value):
            raise ConfigurationError(
                f"The API key of the connection {connection_id!r} is in its {place}, which Airflow "
                f"does not hide: move it to the password. In a URI that is behind a colon: "
                f"{URI_SHAPE}."
            )


def _base_url(connection: Connection) -> tuple[str, list[str]]:
    """The host, with the scheme, port and path that it lacks; and what of them is not used."""
    host, schema = (connection.host or "").strip(), (connection.schema or "").strip().strip("/")
    url = host
    if host and "://" not in host:
        # Connections of type HTTP have the scheme there.
        scheme = schema.lower() if schema.lower() in ("http", "https") else "https"
        url = f"{scheme}://{host}"
    try:
        parts = urlsplit(url)
        host_port, name = parts.port, parts.hostname
    except ValueError:  # no address: the client says so
        return url, []
    unused = []
    if connection.port and name:
        if host_port is None:
            parts = parts._replace(netloc=f"{parts.netloc}:{connection.port}")
        elif host_port != connection.port:
            unused.append(f"port {connection.port} (the host names port {host_port})")
    if schema and schema.lower() != parts.scheme:
        path = parts.path.strip("/")
        if name and not path:
            parts = parts._replace(path=f"/{schema}")
        elif path != schema:
            unused.append(f"schema (the host must be the whole base URL, such as {BASE_URL_SHAPE})")
    return parts.geturl(), unused


def _unused_extras(given: dict[str, Any]) -> Iterator[str]:
    for name in given:
        if name in EXTRAS or name in SANDBOX_EXTRAS:
            continue
        normal = name.strip().lower().replace("-", "_").removeprefix("extra__talkpilot__")
        fields = [field for field, names in _FIELDS.items() if normal in names]
        similar = get_close_matches(normal, EXTRAS, 1)
        if fields:
            cure = f"it belongs into the field {fields[0]}"
        elif similar:
            cure = f"did you mean {similar[0]}?"
        else:
            cure = f"the options are {', '.join(EXTRAS)}"
        yield f"extra {plain(name)} ({cure})"


def _extras(given: dict[str, Any], connection_id: str) -> dict[str, Any]:
    """The options that are set, as numbers and texts."""
    extras: dict[str, Any] = {}
    for name, extra in (EXTRAS | SANDBOX_EXTRAS).items():
        if name not in given:
            continue
        try:
            extras[name] = extra.read(given[name])
        except ValueError as error:
            raise ConfigurationError(
                f"{name} of the connection {connection_id!r} is {plain(repr(given[name]))}: "
                f"{error}, or leave it empty."
            ) from None
    return extras
