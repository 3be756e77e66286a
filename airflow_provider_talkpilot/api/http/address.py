"""Checks of the base URL and the key, before a client sends any request."""

from __future__ import annotations

import re
from ipaddress import ip_address

import httpx

from airflow_provider_talkpilot.api.errors import ConfigurationError
from airflow_provider_talkpilot.api.redaction import holds_key, plain, quoted

BASE_URL_SHAPE = "https://api.talkpilot.io/v1"
CHECK_HOST = f"Check the base URL (the connection's host): its shape is {BASE_URL_SHAPE}."

_KEY_SHAPE = re.compile(r"tp_live_[0-9a-fA-F]{32}")
# The API's path on TalkPilot's own hosts, for users who enter only the host.
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
        url = httpx.URL(given)
    except httpx.InvalidURL:
        url = httpx.URL()
    # httpx drops a question mark that has no query after it, but only from url.query.
    if url.userinfo or "?" in given or url.fragment:
        raise ConfigurationError(
            f"The base URL must have no user, query or fragment: its shape is {BASE_URL_SHAPE}."
        )
    # httpx takes blanks, and ports of any size.
    is_http = url.scheme in ("http", "https") and url.host
    if not is_http or " " in given or (url.port or 1) > 65535:
        raise ConfigurationError(
            f"The base URL '{quoted(given)}' is no address: its shape is {BASE_URL_SHAPE}."
        )
    if url.scheme == "http" and not is_loopback(url.host):
        raise ConfigurationError(
            f"The base URL {plain(given)!r} is plain http, which would show the API key to the "
            "network: use https."
        )
    path = re.sub("//+", "/", url.raw_path.decode()).rstrip("/")
    for hosts, whole_path in _PATHS:
        if hosts.fullmatch(url.host) and whole_path.startswith(f"{path}/"):
            path = whole_path
    return origin(url) + path


def origin(url: httpx.URL) -> str:
    """Return scheme, host and port: the API key goes only to addresses with the same ones."""
    return f"{url.scheme}://{url.netloc.decode()}"


def checked_key(api_key: str) -> str:
    """Return a key without white space around it.

    :raises ConfigurationError: when it does not have the shape of a key.
    """
    api_key = (api_key or "").strip()
    if not _KEY_SHAPE.fullmatch(api_key):
        raise ConfigurationError(
            "The API key is malformed: it is tp_live_ and 32 hex digits, and "
            f"{f'{len(api_key)} characters were given' if api_key else 'none was given'}. Copy it "
            "again from TalkPilot's dashboard into the connection's password."
        )
    return api_key


def is_loopback(host: str) -> bool:
    """Return whether a host is this machine."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
