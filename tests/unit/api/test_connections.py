"""Threads share no connection, and none is opened twice."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx

from airflow_provider_talkpilot.api.connections import Connections

THREADS, REQUESTS = 4, 5


class Answering(BaseHTTPRequestHandler):
    """Keeps connections alive; answers with the address that it is asked from."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        body = str(self.client_address[1]).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Print nothing."""


def test_every_thread_keeps_one_connection_of_its_own() -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answering)
    serving = threading.Thread(target=server.serve_forever)
    serving.start()
    url = httpx.URL(f"http://127.0.0.1:{server.server_port}/")
    connections = Connections()
    together = threading.Barrier(THREADS)

    def ask(_: int) -> set[str]:
        together.wait()
        return {connections.get(url).text for _ in range(REQUESTS)}

    try:
        with ThreadPoolExecutor(THREADS) as pool:
            ports = list(pool.map(ask, range(THREADS)))
    finally:
        connections.close()
        server.shutdown()
        serving.join()
        server.server_close()
    assert [len(of_one) for of_one in ports] == [1] * THREADS
    assert len(set.union(*ports)) == THREADS
