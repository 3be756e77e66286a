"""Checks of what a client is given: base URL, key, ids, options. They run before any request."""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import Annotated, Any

import httpx
from pydantic import Field, TypeAdapter, ValidationError

from airflow_provider_talkpilot.api.errors import ConfigurationError
from airflow_provider_talkpilot.api.models import read_uuid
from airflow_provider_talkpilot.api.redaction import holds_key, plain

BASE_URL_SHAPE = "https://api.talkpilot.io/v1"

_KEY_SHAPE = re.compile(r"tp_live_[0-9a-fA-F]{32}")
# The API's path on TalkPilot's own hosts, for users who give the host alone.
_PATHS = (
    (re.compile(r"api\.talkpilot\.io"), "/v1"),
    (re.compile(r"[\w-]+\.supabase\.co"), "/functions/v1/api/v1"),
)


def checked_base_url(base_url: str) -> str:
    """Return a base URL in its one form, without a slash at the end.

    On TalkPilot's own hosts a missing path, or the missing end of one, is added.

    :raises ConfigurationError: when it can never work, or would show the key to the network.
    """
    given = (base_url or "").strip()
    if holds_key(given):
        raise ConfigurationError(
            f"The base URL is no address: its shape is {BASE_URL_SHAPE}. It has an API key in it, "
            "which belongs into the connection's password."
        )
    try:
        url = httpx.URL(given if " " not in given else "")
    except httpx.InvalidURL:
        url = httpx.URL()
    if url.userinfo or url.query or url.fragment:
        raise ConfigurationError(
            f"The base URL must have no user, query or fragment: its shape is {BASE_URL_SHAPE}."
        )
    if url.scheme not in ("http", "https") or not url.host or (url.port or 1) > 65535:
        raise ConfigurationError(
            f"The base URL {plain(base_url or '')!r} is no address: its shape is {BASE_URL_SHAPE}."
        )
    if url.scheme == "http" and not is_loopback(url.host):
        raise ConfigurationError(
            f"The base URL {plain(given)!r} is plain http, which would show the API key to the "
            "network: use https."
        )
    path = re.sub("//+", "/", url.raw_path.decode()).rstrip("/")
    for hosts, whole in _PATHS:
        if hosts.fullmatch(url.host) and whole.startswith(f"{path}/"):
            path = whole
    return origin(url) + path


def origin(url: httpx.URL) -> str:
    """Give what two addresses must have in common for the API key to go to both."""
    return f"{url.scheme}://{url.netloc.decode()}"


def require_uuid(name: str, value: object) -> str:
    """Return a UUID as the API writes it; see :func:`read_uuid`.

    :raises ConfigurationError: when it is none; such an id would otherwise reach the URL.
    """
    try:
        return read_uuid(str(value))
    except ValueError:
        raise ConfigurationError(
            f"The {name} {plain(value)!r} is no UUID: copy it from TalkPilot's dashboard or from "
            "the list of agents."
        ) from None


def check_value(name: str, value: object, kind: Any, **bounds: Any) -> None:
    """Check a value's type, strictly, and its bounds, which are those of :func:`pydantic.Field`.

    :raises ConfigurationError: when it is something else; the message does not show it.
    """
    try:
        TypeAdapter(Annotated[kind, Field(strict=True, **bounds)]).validate_python(value)
    except ValidationError as error:
        said = "; or ".join(each["msg"] for each in error.errors(include_url=False))
        raise ConfigurationError(f"{name} cannot be used: {said}.") from None


def checked_key(api_key: str) -> str:
    """Return a key without white space around it; refuse what has not the shape of one."""
    api_key = (api_key or "").strip()
    if not _KEY_SHAPE.fullmatch(api_key):
        raise ConfigurationError(
            "The API key is malformed: it is tp_live_ and 32 hex digits, and "
            f"{f'{len(api_key)} characters were given' if api_key else 'none was given'}. Copy it "
            "again from TalkPilot's dashboard into the connection's password."
        )
    return api_key


def is_loopback(host: str) -> bool:
    """Whether a host is this machine itself."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
