"""Whose certificates count, and through which proxy the key may travel."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import certifi
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from airflow_provider_talkpilot.api import TalkPilotClient, network
from airflow_provider_talkpilot.api.errors import ConfigurationError, ConnectionFailedError
from tests.unit.api.raw_server import RawServer

KEY = "tp_live_" + "0123456789abcdef" * 2
HEALTHY = b'{"status":"ok"}'
VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR")


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


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


def ask(url: str) -> str:
    with TalkPilotClient(url, KEY, tries=1, timeout=10, connect_timeout=10) as client:
        return client.health().status


def test_a_certificate_that_nobody_vouches_for_is_refused(server: RawServer) -> None:
    with pytest.raises(ConnectionFailedError, match="CERTIFICATE_VERIFY_FAILED"):
        ask(base_url(server))
    assert server.seen == []


def test_the_environment_can_name_whom_to_trust(
    server: RawServer, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    assert ask(base_url(server)) == "ok"
    assert server.seen[0][1]["x-api-key"] == KEY


def test_a_certificate_of_another_host_is_refused(
    server: RawServer, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with pytest.raises(ConnectionFailedError, match="CERTIFICATE_VERIFY_FAILED"):
        ask(base_url(server, "127.0.0.1"))
    assert server.seen == []


class Proxy:
    """Connects whoever asks to whom they want; keeps what it could read."""

    def __init__(self) -> None:
        self.requests: list[bytes] = []
        self.carried = bytearray()
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._socket.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._socket.close()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._carry, args=(client,), daemon=True).start()

    def _carry(self, client: socket.socket) -> None:
        request = b""
        while b"\r\n\r\n" not in request and (more := client.recv(65536)):
            request += more
        self.requests.append(request)
        host, _, port = request.split()[1].decode().rpartition(":")
        with client, socket.create_connection((host, int(port))) as target:
            client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            back = threading.Thread(target=self._copy, args=(target, client), daemon=True)
            back.start()
            self._copy(client, target)
            back.join()

    def _copy(self, source: socket.socket, target: socket.socket) -> None:
        try:
            while content := source.recv(65536):
                self.carried += content
                target.sendall(content)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # one of the two hung up


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    running = Proxy()
    yield running
    running.close()


@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"])
@pytest.mark.parametrize("shape", ["{}", "http://{}", "http://{}/"])
def test_a_proxy_carries_what_it_cannot_read(
    server: RawServer,
    certificate: Path,
    proxy: Proxy,
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
    shape: str,
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    monkeypatch.setenv(variable, shape.format(proxy.address))
    assert ask(base_url(server)) == "ok"
    [request] = proxy.requests
    port = server._server.server_port
    assert request.startswith(f"CONNECT localhost:{port} HTTP/1.".encode())
    assert f"Host: localhost:{port}\r\n".encode() in request
    assert b"Proxy-Authorization" not in request
    assert proxy.carried
    assert KEY.encode() not in request + proxy.carried


def test_a_proxy_that_wants_a_password(
    server: RawServer, certificate: Path, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    monkeypatch.setenv("HTTPS_PROXY", f"http://me:p%40ss@{proxy.address}")
    assert ask(base_url(server)) == "ok"
    assert b"Proxy-Authorization: Basic bWU6cEBzcw==\r\n" in proxy.requests[0]
    assert "proxy-authorization" not in server.seen[0][1]


@pytest.mark.parametrize("excluded", ["localhost", "*", "example.com,localhost"])
def test_a_proxy_is_left_out_where_the_environment_says_so(
    server: RawServer,
    certificate: Path,
    proxy: Proxy,
    monkeypatch: pytest.MonkeyPatch,
    excluded: str,
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    monkeypatch.setenv("HTTPS_PROXY", f"http://{proxy.address}")
    monkeypatch.setenv("NO_PROXY", excluded)
    assert ask(base_url(server)) == "ok"
    assert proxy.requests == []


def test_a_proxy_that_refuses_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with RawServer() as refusing:  # it knows no CONNECT
        monkeypatch.setenv("HTTPS_PROXY", refusing.url.removesuffix("/v1"))
        with pytest.raises(ConnectionFailedError, match="Tunnel connection failed: 501"):
            ask("https://api.example/v1")


@pytest.mark.parametrize(
    "proxy_url", ["https://proxy:3128", "socks5://proxy", "http://", "http://proxy:port"]
)
def test_a_proxy_that_can_never_work(monkeypatch: pytest.MonkeyPatch, proxy_url: str) -> None:
    monkeypatch.setenv("HTTPS_PROXY", proxy_url)
    with pytest.raises(ConfigurationError, match=r"HTTPS_PROXY.*http://proxy:3128.*NO_PROXY"):
        TalkPilotClient("https://api.example/v1", KEY)


def test_without_a_word_of_the_environment_mozillas_list_counts_too() -> None:
    mozilla = ssl.create_default_context(cafile=certifi.where()).get_ca_certs(binary_form=True)
    assert mozilla
    assert set(mozilla) <= set(network._certificates().get_ca_certs(binary_form=True))
