"""The set-up of httpx: headers, time-outs, certificates, proxies, and no request in any log."""

from __future__ import annotations

import logging
import os
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any, TypeVar

import httpx

from airflow_provider_talkpilot import __version__
from airflow_provider_talkpilot.api.errors import (
    ConfigurationError,
    ConnectionFailedError,
    UnreadableResponseError,
)
from airflow_provider_talkpilot.api.http.address import BASE_URL_SHAPE, CHECK_HOST
from airflow_provider_talkpilot.api.redaction import quoted

# These loggers write the address of every request, all headers of the response, and the password of
# a SOCKS proxy.
_LOGGERS = (
    "httpx",
    "httpcore.connection",
    "httpcore.http11",
    "httpcore.proxy",
    "httpcore.socks",
)

Client = TypeVar("Client", httpx.Client, httpx.AsyncClient)

_is_sending: ContextVar[bool] = ContextVar("talkpilot_is_sending", default=False)


def httpx_options(base_url: str, api_key: str, timeout: httpx.Timeout) -> dict[str, Any]:
    """Return the arguments of an ``httpx.Client`` or an ``httpx.AsyncClient``.

    Share the result: reading the trusted certificates takes a while.

    :raises ConfigurationError: when the environment names certificates that cannot be read.
    """
    is_https = base_url.startswith("https:")
    return {
        "headers": {
            "X-API-Key": api_key,
            "Accept": "application/json",
            "User-Agent": f"airflow-provider-talkpilot/{__version__}",
        },
        "timeout": timeout,
        # httpx would send the key to any host that a redirect names.
        "follow_redirects": False,
        # Plain http goes to this machine only. A proxy would see the key in it.
        "trust_env": is_https,
        "verify": certificates() if is_https else False,
    }


def certificates() -> ssl.SSLContext:
    """Read the trusted certificates, including those that the environment names.

    :raises ConfigurationError: when they cannot be read.
    """
    # Airflow's users know REQUESTS_CA_BUNDLE, which httpx does not read.
    bundle = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE")
    try:
        if not bundle:
            return httpx.create_ssl_context()
        place: dict[str, Any] = {"capath" if Path(bundle).is_dir() else "cafile": bundle}
        if not (os.environ.get("SSL_CERT_FILE") or os.environ.get("SSL_CERT_DIR")):
            return ssl.create_default_context(**place)
        # Conda, for one, sets these variables, and the user sets the bundle: both count.
        context = httpx.create_ssl_context()
        context.load_verify_locations(**place)
        return context
    except OSError as error:
        raise ConfigurationError(
            "The trusted certificates that the environment names (SSL_CERT_FILE, SSL_CERT_DIR, "
            f"REQUESTS_CA_BUNDLE or CURL_CA_BUNDLE) cannot be read: {quoted(error)}."
        ) from None


def make_client(client_type: type[Client], options: dict[str, Any]) -> Client:
    """Create a client of httpx, with the options of :func:`httpx_options`.

    :raises ConfigurationError: when the environment names a proxy that cannot be used.
    """
    try:
        return client_type(**options)
    except (ValueError, ImportError, httpx.InvalidURL):
        raise ConfigurationError(
            "The environment's settings of a proxy cannot be used: the shape of HTTPS_PROXY or "
            "ALL_PROXY is http://proxy:3128; NO_PROXY has names of hosts and IP addresses, without "
            "brackets."
        ) from None


@contextmanager
def unlogged() -> Iterator[None]:
    """Keep the log lines of httpx, which have addresses in them, out of all logs in the block."""
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(_is_of_other_software)  # added once only
    token = _is_sending.set(True)
    try:
        yield
    finally:
        _is_sending.reset(token)


@contextmanager
def sending(base_url: str) -> Iterator[None]:
    """Raise our errors for those of httpx, and keep its log lines out of all logs in the block.

    :raises ConnectionFailedError: when no whole response comes.
    :raises UnreadableResponseError: when the body cannot be decompressed.
    """
    try:
        with unlogged():
            yield
    except httpx.DecodingError:
        raise UnreadableResponseError(
            f"{base_url} responded with a body that cannot be decoded: it was cut, or comes from "
            f"something else. {CHECK_HOST}",
            status=200,
        ) from None
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        hint = certificate_hint(text)
        if isinstance(error, httpx.ProxyError):
            hint = " HTTPS_PROXY or ALL_PROXY names the proxy; hosts in NO_PROXY do without."
        raise ConnectionFailedError(
            f"No response from {base_url} ({quoted(text)}). Check the network and the base URL "
            f"(the connection's host); its shape is {BASE_URL_SHAPE}.{hint}"
        ) from None


def certificate_hint(text: str) -> str:
    """Return the cure, with a blank before it, if a library refused a certificate; else ""."""
    if "CERTIFICATE_VERIFY_FAILED" not in text:
        return ""
    if "not yet valid" in text or "has expired" in text:
        return " Certificates are valid for a time: set this machine's clock."
    return (
        " If a proxy of your company opens TLS, name a file with its certificate in "
        "SSL_CERT_FILE or REQUESTS_CA_BUNDLE."
    )


def _is_of_other_software(_record: logging.LogRecord) -> bool:
    return not _is_sending.get()
