"""The HTTP layer: GET requests to one host, over connections that all threads share.

A request costs a sixth of what it costs in a library that does more. A connection belongs to one
thread from the request to the last byte of the answer. Nothing is sent twice behind anybody's back:
there is no retry and no redirect in here, and a connection that the server closed while it was idle
is replaced before anything is sent on it.
"""

from __future__ import annotations

import gzip
import math
import time
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple
from urllib.parse import urlsplit

from airflow_provider_talkpilot.api.address import BASE_URL_SHAPE, target
from airflow_provider_talkpilot.api.errors import ConnectionFailedError, UnreadableResponseError
from airflow_provider_talkpilot.api.http1 import FAILURES, Connection
from airflow_provider_talkpilot.api.network import Route
from airflow_provider_talkpilot.api.redaction import plain

# Servers close connections that are idle for long, perhaps at the moment of the next request; some
# routers forget them without a word.
_MOST_IDLE_SECONDS = 5.0


class Headers(Mapping[str, str]):
    """Headers by name, in any case."""

    def __init__(self, headers: Iterable[tuple[str, str]]) -> None:
        self._headers = {name.lower(): value for name, value in headers}

    def __getitem__(self, name: str) -> str:
        return self._headers[name.lower()]

    def __iter__(self) -> Iterator[str]:
        return iter(self._headers)

    def __len__(self) -> int:
        return len(self._headers)


class Response(NamedTuple):
    """An answer that was read whole.

    :param url: what was asked for, with its query.
    :param status: HTTP status.
    :param reason: the status in the server's words.
    :param headers: by name, in any case.
    :param content: the body, decompressed.
    """

    url: str
    status: int
    reason: str
    headers: Headers
    content: bytes


class Connections:
    """Sends GET requests to one host; thread-safe.

    :param base_url: of the host: https, or http to a loopback address.
    :param headers: of every request.
    :param timeout: seconds to wait for data of an answer.
    :param connect_timeout: seconds to wait for a connection.
    :raises ConfigurationError: when the proxy that the environment names can never work.
    """

    def __init__(
        self, base_url: str, headers: Mapping[str, str], *, timeout: float, connect_timeout: float
    ) -> None:
        self._base_url, self._timeout = base_url, timeout
        host = urlsplit(base_url).netloc
        self._headers = {"Host": host, **headers, "Accept-Encoding": "gzip"}
        self._route = Route(base_url, connect_timeout)
        # With the time since when. Adding and taking one is atomic.
        self._idle: list[tuple[float, Connection]] = []
        self._is_closed = False

    def get(self, url: str) -> Response:
        """Send one request and read the answer.

        :param url: an address of the base URL's host.
        :raises ConnectionFailedError: when no whole answer comes.
        :raises UnreadableResponseError: when its body cannot be decompressed.
        """
        return self.send(url).read()

    def send(self, url: str) -> Sent:
        """Send one request; read or drop what this returns.

        :param url: an address of the base URL's host.
        :raises ConnectionFailedError: when it cannot be sent.
        """
        connection = self._take()
        with self._connecting(connection):
            connection.send(target(url), self._timeout)
        return Sent(self, url, connection)

    def receive(self, url: str, connection: Connection, patience: float) -> Response:
        """Read an answer; as :meth:`get`. For :class:`Sent`."""
        with self._connecting(connection):
            answer = connection.receive(min(patience, self._timeout))
        self._idle.append((time.monotonic(), connection))
        if self._is_closed:
            self.close()
        headers, content = Headers(answer.headers), answer.content
        try:
            if headers.get("Content-Encoding", "").lower() == "gzip":
                content = gzip.decompress(content)
        except (OSError, EOFError, zlib.error):
            raise UnreadableResponseError(
                f"{self._base_url} answered with a body that cannot be decoded.",
                status=answer.status,
            ) from None
        return Response(url, answer.status, answer.reason, headers, content)

    def close(self) -> None:
        """Close the connections; one in use is closed after its answer."""
        self._is_closed = True
        while self._idle:
            self._idle.pop()[1].close()

    @contextmanager
    def _connecting(self, connection: Connection) -> Iterator[None]:
        """Close the connection where it fails, and say so."""
        try:
            yield
        except BaseException as error:
            connection.close()
            if not isinstance(error, FAILURES):
                raise
            raise ConnectionFailedError(
                f"No answer from {self._base_url} ({_describe(error)}). Check the network and the "
                f"base URL (the connection's host); its shape is {BASE_URL_SHAPE}."
            ) from None

    def _take(self) -> Connection:
        """The connection used last, if it still stands; otherwise one to be opened."""
        try:
            since, connection = self._idle.pop()
        except IndexError:
            return Connection(self._route.connection(), self._headers)
        is_old = time.monotonic() - since > _MOST_IDLE_SECONDS
        if connection.is_open and (is_old or connection.is_dropped):
            connection.close()
        return connection


class Sent:
    """A request on its way, whose answer is read later.

    :param connections: where its connection goes back to.
    :param url: what was asked for.
    :param connection: on which.
    """

    def __init__(self, connections: Connections, url: str, connection: Connection) -> None:
        self._connections, self._url, self._connection = connections, url, connection

    def read(self, patience: float = math.inf) -> Response:
        """Read the answer, once; as :meth:`Connections.get`.

        :param patience: seconds to wait for data of it, where that is less than the time-out.
        """
        return self._connections.receive(self._url, self._connection, patience)

    def drop(self) -> None:
        """Do without the answer."""
        self._connection.close()


def _describe(error: BaseException) -> str:
    return plain(f"{type(error).__name__}: {error}")
