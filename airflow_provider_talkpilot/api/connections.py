"""Connections to the API: every thread has its own.

A pool that threads share can close an idle connection at the very moment at which another thread
takes it (httpcore checks for expiry without holding it); the request is then lost after it was paid
for. So nothing is shared but the settings.
"""

from __future__ import annotations

import threading
from typing import Any

import httpx


class Connections:
    """Sends GET requests; thread-safe.

    :param options: of :class:`httpx.Client`.
    """

    def __init__(self, **options: Any) -> None:
        # The trusted certificates are read once, not by every thread.
        self._options = {"verify": httpx.create_ssl_context(), **options}
        self._of_thread = threading.local()
        self._all: list[httpx.Client] = []
        self._adding = threading.Lock()

    def get(self, url: httpx.URL) -> httpx.Response:
        """Send one request on this thread's connection and read the answer.

        :raises httpx.HTTPError: when no whole answer comes.
        """
        client: httpx.Client | None = getattr(self._of_thread, "client", None)
        if client is None:
            client = self._of_thread.client = httpx.Client(**self._options)
            with self._adding:
                self._all.append(client)
        return client.get(url)

    def close(self) -> None:
        """Close the connections of all threads; none may be in use."""
        with self._adding:
            for client in self._all:
                client.close()
