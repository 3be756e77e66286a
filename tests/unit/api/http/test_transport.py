"""Connections: each request once, to the right host alone, whose certificate counts."""

from __future__ import annotations

import json
import ssl
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from airflow_provider_talkpilot.api import TalkPilotClient
from airflow_provider_talkpilot.api.errors import ConfigurationError, ConnectionFailedError
from airflow_provider_talkpilot.api.walk import Request
from tests.unit.api.conftest import unlimited_quota
from tests.unit.api.raw_server import RawServer

KEY = "tp_live_" + "0123456789abcdef" * 2
HEALTHY = b'{"status":"ok"}'
SECONDS, THREADS = 10.0, 16
BUNDLES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_DIR", *BUNDLES)


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


class EchoServer(ThreadingHTTPServer):
    """Responds with the path that was requested; counts connections and requests.

    :param hangs_up: respond to so many requests at the same moment, and then close their
        connections without a word of it.
    """

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, *, hangs_up: int = 0) -> None:
        self.requested: Counter[str] = Counter()
        self.opened = self.closed = 0
        self.together = threading.Barrier(hangs_up, timeout=SECONDS) if hangs_up else None
        self.changed = threading.Condition()
        super().__init__(("127.0.0.1", 0), _Echo)
        self._thread = threading.Thread(target=self.serve_forever, args=(0.01,))

    def __enter__(self) -> EchoServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()

    def client(self) -> TalkPilotClient:
        url = f"http://127.0.0.1:{self.server_port}"
        return TalkPilotClient(url, KEY, timeout=SECONDS, quota=unlimited_quota())

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
        body = json.dumps({"path": self.path}).encode()
        with self.server.changed:
            self.server.requested[self.path] += 1
        if self.server.together:
            self.server.together.wait()
            self.close_connection = True
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Print nothing."""


@pytest.mark.parametrize("hangs_up", [False, True])
def test_each_thread_gets_its_own_responses(*, hangs_up: bool) -> None:
    """Each request is sent once, also where the server closes connections while they are idle."""
    rounds = 40
    with EchoServer(hangs_up=THREADS if hangs_up else 0) as server, server.client() as client:
        # A round begins when the server has closed every connection of the one before.
        together = threading.Barrier(
            THREADS,
            lambda: server.wait_until_closed(server.requested.total() if hangs_up else 0),
            timeout=SECONDS,
        )

        def work(thread: int) -> None:
            for number in range(rounds):
                together.wait()
                path = f"{thread}/{number}"
                assert client.fetch(Request("x", path)) == {"path": f"/{path}"}

        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(work, range(THREADS)))
    assert server.requested.total() == len(server.requested) == THREADS * rounds
    assert client.requests["x"] == THREADS * rounds
    assert server.opened == (THREADS * rounds if hangs_up else THREADS)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of localhost and no other name, signed by itself; with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    names = [x509.DNSName("localhost")]
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "localhost.pem"
    path.write_bytes(
        made.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return path


@pytest.fixture
def server(certificate: Path) -> Iterator[RawServer]:
    """A healthy API over TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with RawServer(HEALTHY, tls=context) as server:
        yield server


def base_url(server: RawServer, host: str = "localhost") -> str:
    return server.url.replace("http://127.0.0.1", f"https://{host}")


def status(url: str) -> str:
    with TalkPilotClient(url, KEY, tries=1, timeout=10, connect_timeout=10) as client:
        return client.health().status


def test_an_unknown_certificate_is_refused(server: RawServer) -> None:
    with pytest.raises(ConnectionFailedError, match=r"CERTIFICATE_VERIFY_FAILED.* SSL_CERT_FILE"):
        status(base_url(server))
    assert server.seen == []


@pytest.mark.parametrize("variable", BUNDLES)
def test_the_environment_can_name_whom_to_trust(
    server: RawServer, certificate: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, str(certificate))
    assert status(base_url(server)) == "ok"
    assert server.seen[0][1]["x-api-key"] == KEY


def test_certificates_that_are_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere/bundle.pem")
    with pytest.raises(ConfigurationError, match=r"environment names.*REQUESTS_CA_BUNDLE"):
        TalkPilotClient("https://api.example/v1", KEY)


def test_a_certificate_of_another_host_is_refused(
    server: RawServer, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with pytest.raises(ConnectionFailedError, match="CERTIFICATE_VERIFY_FAILED"):
        status(base_url(server, "127.0.0.1"))
    assert server.seen == []


def test_a_proxy_is_left_out_where_the_environment_says_so(
    server: RawServer, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with RawServer() as refusing:
        monkeypatch.setenv("HTTPS_PROXY", refusing.url.removesuffix("/v1"))
        with pytest.raises(ConnectionFailedError, match=r"ProxyError: 501.* HTTPS_PROXY"):
            status(base_url(server))
        monkeypatch.setenv("NO_PROXY", "example.com,localhost")
        assert status(base_url(server)) == "ok"


def test_a_proxy_does_not_see_a_key_in_plain_http(monkeypatch: pytest.MonkeyPatch) -> None:
    with RawServer() as proxy, RawServer(HEALTHY) as server:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        monkeypatch.setenv("ALL_PROXY", proxy.url)
        assert status(server.url) == "ok"
        assert proxy.seen == []


@pytest.mark.parametrize("proxy_url", ["socks5://proxy", "ftp://proxy", "http://proxy:port"])
def test_a_proxy_that_can_never_work(monkeypatch: pytest.MonkeyPatch, proxy_url: str) -> None:
    monkeypatch.setenv("HTTPS_PROXY", proxy_url)
    with pytest.raises(ConfigurationError, match=r"HTTPS_PROXY.*http://proxy:3128.*NO_PROXY"):
        TalkPilotClient("https://api.example/v1", KEY)
