"""Threads share connections: each request is sent once, and each thread gets its own answer."""

from __future__ import annotations

import gzip
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from airflow_provider_talkpilot.api import connections as module
from airflow_provider_talkpilot.api.connections import Connections
from airflow_provider_talkpilot.api.errors import ConnectionFailedError, UnreadableResponseError

SECONDS = 10.0
THREADS = 16


class EchoServer(ThreadingHTTPServer):
    """Answers with the path that was asked for; counts connections, and what they were asked.

    :param hangs_up: answer so many requests at the same moment, and then close their connections
        without a word of it.
    """

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, *, hangs_up: int = 0) -> None:
        self.asked: Counter[str] = Counter()
        self.opened = self.closed = 0
        self.together = threading.Barrier(hangs_up, timeout=SECONDS) if hangs_up else None
        self.changed = threading.Condition()
        super().__init__(("127.0.0.1", 0), _Echo)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def process_request(self, request: Any, client_address: Any) -> None:
        self.opened += 1
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        super().shutdown_request(request)
        with self.changed:
            self.closed += 1
            self.changed.notify_all()

    def wait_until_closed(self, count: int) -> None:
        with self.changed:
            assert self.changed.wait_for(lambda: self.closed == count, SECONDS)


class _Echo(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: EchoServer

    def do_GET(self) -> None:
        body = self.path.encode()
        with self.server.changed:
            self.server.asked[self.path] += 1
        if self.server.together:
            self.server.together.wait()
            self.close_connection = True
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Print nothing."""


@pytest.fixture
def connect() -> Iterator[Callable[..., Connections]]:
    made: list[Connections] = []

    def make(url: str, timeout: float = SECONDS) -> Connections:
        made.append(Connections(url, {"X-API-Key": "k"}, timeout=timeout, connect_timeout=SECONDS))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def serve() -> Iterator[Callable[..., EchoServer]]:
    """Starts echo servers, and stops them."""
    running: list[tuple[EchoServer, threading.Thread]] = []

    def start(**options: int) -> EchoServer:
        server = EchoServer(**options)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        running.append((server, thread))
        return server

    yield start
    for server, thread in running:
        server.shutdown()
        thread.join()
        server.server_close()


class Script:
    """A server that reads one request on each connection and sends what the script says.

    :param answers: bytes for the first connection, the second, and so on; then it hangs up.
    """

    def __init__(self, *answers: bytes, stays: bool = False) -> None:
        self.asked: list[bytes] = []
        self.hung_up = threading.Semaphore(0)
        self._answers, self._stays = answers, stays
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._socket.settimeout(0.02)  # to look whether it is done
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._done = threading.Event()

    def __enter__(self) -> Script:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join(SECONDS)
        self._socket.close()

    def _accept(self) -> socket.socket | None:
        with suppress(TimeoutError):
            return self._socket.accept()[0]
        return None

    def _serve(self) -> None:
        for answer in self._answers:
            while (connection := self._accept()) is None:
                if self._done.is_set():
                    return
            with connection:
                self.asked.append(connection.recv(65536).partition(b"\r\n")[0])
                connection.sendall(answer)
                if self._stays:
                    self._done.wait(SECONDS)
            self.hung_up.release()


def in_threads(work: Callable[[int], None]) -> None:
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(work, range(THREADS)))


def test_thousands_of_requests_over_a_few_connections(
    connect: Callable[..., Connections],
    serve: Callable[..., EchoServer],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "_MOST_IDLE_SECONDS", 600.0)
    server, rounds = serve(), 200
    connections, together = connect(server.url), threading.Barrier(THREADS, timeout=SECONDS)

    def ask(thread: int) -> None:
        together.wait()
        for number in range(rounds):
            path = f"/{thread}/{number}"
            assert connections.get(server.url + path).content == path.encode()

    in_threads(ask)
    assert server.asked.total() == len(server.asked) == THREADS * rounds
    assert server.opened <= THREADS


def test_a_connection_closed_while_idle_is_replaced_and_no_request_lost(
    connect: Callable[..., Connections],
    serve: Callable[..., EchoServer],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "_MOST_IDLE_SECONDS", 600.0)
    server, rounds = serve(hangs_up=THREADS), 130
    connections = connect(server.url)
    # A round begins when the server has closed every connection of the one before.
    together = threading.Barrier(
        THREADS, lambda: server.wait_until_closed(server.asked.total()), timeout=SECONDS
    )

    def ask(thread: int) -> None:
        for number in range(rounds):
            together.wait()
            path = f"/{thread}/{number}"
            assert connections.get(server.url + path).content == path.encode()

    in_threads(ask)
    assert server.asked.total() == len(server.asked) == THREADS * rounds
    assert server.opened == THREADS * rounds


def test_a_connection_closed_at_the_moment_of_a_request_is_an_error(
    connect: Callable[..., Connections],
) -> None:
    with Script(b"", b"") as server:
        connections = connect(server.url)
        with pytest.raises(ConnectionFailedError, match=r"No answer from .*\(RemoteDisconnected"):
            connections.get(f"{server.url}/a?phone_number=%2B49")
        assert server.asked == [b"GET /a?phone_number=%2B49 HTTP/1.1"], "not sent again by itself"


@pytest.mark.parametrize(("idle_seconds", "opened"), [(60.0, 1), (0.0, 3)])
def test_a_connection_that_was_idle_for_long_is_not_trusted(
    connect: Callable[..., Connections],
    serve: Callable[..., EchoServer],
    monkeypatch: pytest.MonkeyPatch,
    idle_seconds: float,
    opened: int,
) -> None:
    monkeypatch.setattr(module, "_MOST_IDLE_SECONDS", idle_seconds)
    server = serve()
    connections = connect(server.url)
    for _ in range(3):
        connections.get(f"{server.url}/")
    assert server.opened == opened


def test_an_answer_that_comes_late_is_nobody_elses(connect: Callable[..., Connections]) -> None:
    late = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlate"
    good = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood"
    with Script(good + late, good) as server:
        connections = connect(server.url)
        assert connections.get(f"{server.url}/first").content == b"good"
        assert server.hung_up.acquire(timeout=SECONDS)
        assert connections.get(f"{server.url}/second").content == b"good"


def test_half_an_answer_is_none(connect: Callable[..., Connections]) -> None:
    half = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc"
    good = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood"
    with Script(half, good) as server:
        connections = connect(server.url)
        with pytest.raises(ConnectionFailedError, match="3 bytes read, 7 more expected"):
            connections.get(f"{server.url}/")
        assert connections.get(f"{server.url}/").content == b"good"


def test_an_answer_that_stays_out_is_waited_for_so_long(
    connect: Callable[..., Connections],
) -> None:
    with (
        Script(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", stays=True) as server,
        pytest.raises(ConnectionFailedError, match="TimeoutError: timed out"),
    ):
        connect(server.url, timeout=0.1).get(f"{server.url}/")


def answer_with(body: bytes, encoding: str) -> bytes:
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: {encoding}\r\nContent-Length: {len(body)}"
    return f"{head}\r\n\r\n".encode() + body


def test_a_compressed_body_is_decompressed(connect: Callable[..., Connections]) -> None:
    with Script(answer_with(gzip.compress(b"{}" * 9999), "GZip")) as server:
        answer = connect(server.url).get(f"{server.url}/")
    assert answer.content == b"{}" * 9999
    assert answer.headers["content-encoding"] == answer.headers["CONTENT-ENCODING"] == "GZip"


@pytest.mark.parametrize("body", [b"{}", gzip.compress(b"{}" * 9999)[:-9]], ids=["plain", "cut"])
def test_a_body_that_is_not_what_it_says(connect: Callable[..., Connections], body: bytes) -> None:
    with (
        Script(answer_with(body, "gzip")) as server,
        pytest.raises(UnreadableResponseError, match="body that cannot be decoded"),
    ):
        connect(server.url).get(f"{server.url}/")


def test_debugging_http_shows_no_key(
    connect: Callable[..., Connections],
    serve: Callable[..., EchoServer],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(HTTPConnection, "debuglevel", 1)
    server = serve()
    connect(server.url).get(f"{server.url}/?search=Mustermann")
    assert "".join(capfd.readouterr()) == ""
