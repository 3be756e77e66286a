"""Addresses: the base URL that a connection names, and which others the key may go to."""

from __future__ import annotations

import re
from ipaddress import ip_address
from urllib.parse import quote, urljoin, urlsplit

from airflow_provider_talkpilot.api.errors import ConfigurationError
from airflow_provider_talkpilot.api.redaction import holds_key, plain

BASE_URL_SHAPE = "https://api.talkpilot.io/v1"

_PORTS = {"http": 80, "https": 443}
_IN_PATHS = "/%:@!$&'()*+,;=~"
# Where the API is on TalkPilot's own hosts, for those who give the host alone.
_PATHS = (
    (re.compile(r"api\.talkpilot\.io"), "/v1"),
    (re.compile(r"[\w-]+\.supabase\.co"), "/functions/v1/api/v1"),
)


def checked_base_url(base_url: str) -> str:
    """Return a base URL in its one form, without a slash at the end.

    On TalkPilot's own hosts a missing path, or the missing end of one, is added:
    ``https://api.talkpilot.io`` becomes ``https://api.talkpilot.io/v1``.

    :param base_url: as somebody typed it.
    :raises ConfigurationError: when it can never work, or would show the key to the network.
    """
    given = (base_url or "").strip()
    if holds_key(given):
        raise ConfigurationError(
            f"The base URL is no address: its shape is {BASE_URL_SHAPE}. It has an API key in it, "
            "which belongs into the connection's password."
        )
    try:
        url = urlsplit(given if given.isprintable() and " " not in given else "")
        host, port = (url.hostname or "").encode("idna").decode(), url.port
    except ValueError:
        url, host, port = urlsplit(""), "", None
    if "@" in given.partition("://")[2].partition("/")[0] or url.query or url.fragment:
        raise ConfigurationError(
            f"The base URL must have no user, query or fragment: its shape is {BASE_URL_SHAPE}."
        )
    if url.scheme not in _PORTS or not host:
        raise ConfigurationError(
            f"The base URL {plain(base_url or '')!r} is no address: its shape is {BASE_URL_SHAPE}."
        )
    if url.scheme == "http" and not _is_loopback(host):
        raise ConfigurationError(
            f"The base URL {plain(given)!r} is plain http, which would show the API key to the "
            "network: use https."
        )
    path = _completed(host, quote(url.path, safe=_IN_PATHS).rstrip("/"))
    return f"{url.scheme}://{_netloc(url.scheme, host, port)}{path}"


def moved(url: str, location: str) -> str | None:
    """Where a redirect leads.

    :param url: what was requested.
    :param location: of the response, as the header has it.
    :return: the address in its one form; None where it is none.
    """
    try:
        found = urlsplit(urljoin(url, quote(location.encode("latin-1"), safe=f"{_IN_PATHS}?#[]")))
        path = (found.path or "/") + (f"?{found.query}" if found.query else "")
        return origin(found.geturl()) + path if found.hostname else None
    except ValueError:
        return None


def origin(url: str) -> str:
    """What must be the same in two addresses for the API key to go to both.

    :return: scheme, host and port, such as ``https://api.example:8443``.
    :raises ValueError: when it is no address.
    """
    parts = urlsplit(url)
    return f"{parts.scheme}://{_netloc(parts.scheme, parts.hostname or '', parts.port)}"


def target(url: str) -> str:
    """What a request asks the host for: path and query.

    :param url: an address in its one form, as ``checked_base_url`` and ``moved`` give it.
    """
    return "/" + url.split("/", 3)[3]


def _completed(host: str, path: str) -> str:
    for hosts, whole in _PATHS:
        if hosts.fullmatch(host) and whole.startswith(f"{path}/"):
            return whole
    return path


def _netloc(scheme: str, host: str, port: int | None) -> str:
    host = f"[{host}]" if ":" in host else host
    return host if port in (None, _PORTS.get(scheme)) else f"{host}:{port}"


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
