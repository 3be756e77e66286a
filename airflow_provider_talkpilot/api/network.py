"""The way to a host: directly or through a proxy, and whose certificates count."""

from __future__ import annotations

import os
import ssl
from base64 import b64encode
from http.client import HTTPConnection, HTTPSConnection
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

import certifi

from airflow_provider_talkpilot.api.errors import ConfigurationError


class Route:
    """Makes connections to one host, as the environment says; thread-safe.

    :param base_url: of the host.
    :param connect_timeout: seconds to wait for a connection.
    :raises ConfigurationError: when the proxy that the environment names can never work.
    """

    def __init__(self, base_url: str, connect_timeout: float) -> None:
        url = urlsplit(base_url)
        self._host, self._port = url.hostname or "", url.port
        self._timeout = connect_timeout
        self._certificates = _certificates() if url.scheme == "https" else None
        self._proxy: tuple[str, int] | None = None
        self._tunnel_headers: dict[str, str] = {}
        # Plain http goes to this machine only; a proxy is for others, and would see the key.
        if self._certificates and not proxy_bypass(url.netloc):
            self._use_proxy(getproxies())

    def connection(self) -> HTTPConnection:
        """Make a connection; it is not open yet."""
        connection: HTTPConnection
        if self._certificates is None:
            connection = HTTPConnection(self._host, self._port, timeout=self._timeout)
        else:
            host, port = self._proxy or (self._host, self._port)
            connection = HTTPSConnection(
                host, port, timeout=self._timeout, context=self._certificates
            )
            if self._proxy:
                connection.set_tunnel(self._host, self._port or 443, self._tunnel_headers)
        # Who debugs other software by the class's attribute must not see the key.
        connection.set_debuglevel(0)
        return connection

    def _use_proxy(self, proxies: dict[str, str]) -> None:
        given = proxies.get("https") or proxies.get("all")
        if not given:
            return
        try:
            proxy = urlsplit(given if "://" in given else f"http://{given}")
            port = proxy.port or 80
        except ValueError:
            proxy, port = urlsplit(""), 0
        if proxy.scheme != "http" or not proxy.hostname:
            raise ConfigurationError(
                "The proxy that the environment names (HTTPS_PROXY or ALL_PROXY) cannot be used: "
                "its shape is http://proxy:3128. For no proxy, name the API's host in NO_PROXY."
            )
        self._proxy = proxy.hostname, port
        self._tunnel_headers["Host"] = f"{self._host}:{self._port or 443}"
        if proxy.username is not None:
            user = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
            encoded = b64encode(user.encode()).decode()
            self._tunnel_headers["Proxy-Authorization"] = f"Basic {encoded}"


def _certificates() -> ssl.SSLContext:
    """Whom the environment names is trusted; otherwise whom the system trusts, and Mozilla's list.

    Not every system has a list of its own.
    """
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    if not os.environ.get("SSL_CERT_FILE") and not os.environ.get("SSL_CERT_DIR"):
        context.load_verify_locations(certifi.where())
    return context
