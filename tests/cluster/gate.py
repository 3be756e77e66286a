"""The workers' way to BigQuery, on which a statement can be held back: no load is over too soon."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import urlsplit

from airflow_provider_talkpilot.sandbox.emulators.processes import HOST

SECONDS = 600
# What belongs to one connection, and what is said anew.
_NOT_HANDED_ON = {"connection", "content-length", "host", "keep-alive", "transfer-encoding"}


class Gate(ThreadingHTTPServer):
    """Hands every request on, but holds some back until it is opened; a context manager.

    :param url: of the server behind it.
    :param held_back: requests that have all these words are held back.
    """

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, url: str, held_back: Sequence[str]) -> None:
        super().__init__((HOST, 0), _Handler)
        self.behind, self._held_back = urlsplit(url).netloc, [word.encode() for word in held_back]
        self.url = f"http://{HOST}:{self.server_port}"
        self._is_open = threading.Event()
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05})

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.open()
        self.shutdown()
        self._thread.join()
        self.server_close()

    def open(self) -> None:
        """Hold nothing back any more."""
        self._is_open.set()

    def pass_by(self, body: bytes) -> None:
        """Wait here for as long as a request has to."""
        if all(word in body for word in self._held_back):
            self._is_open.wait(SECONDS)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Keep quiet: workers are killed while they wait."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Gate

    def _hand_on(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.pass_by(body)
        headers = {k: v for k, v in self.headers.items() if k.lower() not in _NOT_HANDED_ON}
        behind = HTTPConnection(self.server.behind, timeout=SECONDS)
        try:
            behind.request(self.command, self.path, body, headers)
            response = behind.getresponse()
            content = response.read()
        finally:
            behind.close()
        self.send_response_only(response.status, response.reason)
        for name, value in response.getheaders():
            if name.lower() not in _NOT_HANDED_ON:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _hand_on  # noqa: N815

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        pass
