"""Where a recording may come from, and the status of each that does not come."""

from __future__ import annotations

import io
import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from airflow_provider_talkpilot.recordings import fetch
from airflow_provider_talkpilot.recordings.fetch import Fetcher, RecordingError
from tests.support.tls import make_certificate, server_context
from tests.unit.api.raw_server import RawServer

WAVE = b"RIFF\x24\x00\x00\x00WAVEfmt " + bytes(1000)
HOST = "storage.example"


def response(
    body: bytes = WAVE, media_type: str = "audio/wav", status: int = 200, **headers: object
) -> bytes:
    lines = {"Content-Type": media_type, "Content-Length": len(body)} | {
        name.replace("_", "-"): value for name, value in headers.items()
    }
    text = "".join(f"{name}: {value}\r\n" for name, value in lines.items() if value is not None)
    return f"HTTP/1.1 {status} Status\r\n{text}\r\n".encode() + body


def chunked(body: bytes, media_type: str = "audio/wav") -> bytes:
    return response(body, media_type, Content_Length=None, Transfer_Encoding="chunked")


def chunk(body: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(body), body)


def redirect(to: str) -> bytes:
    return response(b"", status=302, Location=to)


RESPONSES = {
    "/whole": response(),
    "/three": redirect("/two"),
    "/two": redirect("/one"),
    "/one": redirect("/whole"),
    "/chunked": chunked(chunk(b"ID3ab") + chunk(b""), "audio/mpeg; x=y"),
}
# What each path responds, the status of the recording, and how many requests that takes.
FAILURES = {
    "/four": (redirect("/three"), "refused", 4),
    "/metadata": (redirect("https://169.254.169.254/latest/meta-data"), "refused", 1),
    "/plain": (redirect("http://192.0.2.1/recording"), "refused", 1),
    "/elsewhere": (redirect("//10.0.0.1/recording"), "refused", 1),
    "/named": (redirect("//user:password@127.0.0.1/recording"), "refused", 1),
    "/file": (redirect("file:///etc/passwd"), "refused", 1),
    "/400": (response(b"{}", "application/json", 400), "expired", 1),
    "/403": (response(b"{}", "application/json", 403), "expired", 1),
    "/404": (response(b"{}", "application/json", 404), "expired", 1),
    "/429": (response(b"", "text/html", 429), "failed", 3),
    "/503": (response(b"", "text/html", 503), "failed", 3),
    "/204": (response(b"", status=204), "failed", 1),
    "/nowhere": (response(b"", status=302), "failed", 1),
    "/cut": (response(Content_Length=len(WAVE) + 1), "failed", 3),
    "/cut-chunks": (chunked(b"10\r\nRIFF"), "failed", 3),
    "/wrong-length": (response(Content_Length="many"), "failed", 3),
    "/announced-huge": (response(Content_Length=2001), "too_large", 1),
    "/huge": (chunked(chunk(WAVE * 3) + chunk(b"")), "too_large", 1),
    "/no-length": (response(Content_Length=None), "refused", 1),
    "/no-type": (response(media_type=""), "refused", 1),
    "/page": (response(b"<html>sign in</html>", "text/html"), "refused", 1),
    "/dressed-page": (response(b"<html>sign in, please</html>"), "refused", 1),
    "/dressed-text": (response("<html>sign in</html>".encode("utf-16")), "refused", 1),
    "/undressed": (response(media_type="application/octet-stream"), "refused", 1),
    "/empty": (response(b""), "refused", 1),
    "/packed": (response(Content_Encoding="gzip"), "refused", 1),
}
RESPONSES |= {path: failure[0] for path, failure in FAILURES.items()}
# How responses begin that never end.
SLOW = {
    "/slow": response(WAVE[:20], Content_Length=2000),
    "/slow-headers": b"HTTP/1.1 200 OK\r\nContent-Type: audio/wav",
}


class Handler(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        path = self.rfile.readline().split()[1].decode()
        lines = iter(self.rfile.readline, b"\r\n")
        self.server.seen.append((path, b"".join(lines).decode().lower()))  # type: ignore[attr-defined]
        if path in SLOW:
            self.wfile.write(SLOW[path])
            while not self.server.stopped.wait(0.02):  # type: ignore[attr-defined]
                self.wfile.write(b"x")
        else:
            self.wfile.write(RESPONSES[path.partition("?")[0]])

    def finish(self) -> None:
        """The client may have gone."""


class Storage(socketserver.ThreadingTCPServer):
    """A storage host that sends RESPONSES, and nothing else."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.seen: list[tuple[str, str]] = []
        self.stopped = threading.Event()

    def handle_error(self, *_: object) -> None:
        """The client may have gone."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


@pytest.fixture
def storage() -> Iterator[Storage]:
    with Storage() as storage:
        thread = threading.Thread(target=storage.serve_forever, args=(0.01,))
        thread.start()
        yield storage
        storage.stopped.set()
        storage.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def _no_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "BACKOFF", 0)


def fetcher(*, allow_loopback: bool = True) -> Fetcher:
    return Fetcher(2000, allow_loopback=allow_loopback)


def status_of(address: str, *, allow_loopback: bool = True) -> str:
    with pytest.raises(RecordingError) as raised:
        fetcher(allow_loopback=allow_loopback).fetch(address, io.BytesIO())
    assert str(raised.value) == raised.value.status  # nothing of the address
    return raised.value.status


def resolve_to(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> list[str]:
    """Let every name have these addresses; return the names that are looked up."""
    looked_up: list[str] = []
    real = socket.getaddrinfo

    def look_up(host: str, port: Any, *args: Any, **kwargs: Any) -> list[Any]:
        if host[-1].isdigit() or ":" in host:
            return real(host, port, *args, **kwargs)
        looked_up.append(host)
        return [found for address in addresses for found in real(address, port, *args, **kwargs)]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    return looked_up


@pytest.mark.parametrize(
    ("path", "media_type", "size"),
    [
        ("/whole", "audio/wav", len(WAVE)),
        ("/three", "audio/wav", len(WAVE)),
        ("/chunked", "audio/mpeg", 5),
    ],
)
def test_a_recording_comes_whole(storage: Storage, path: str, media_type: str, size: int) -> None:
    file = io.BytesIO(b"something before")
    fetched = fetcher().fetch(storage.url + path, file)
    content = file.getvalue()
    assert (fetched.type, fetched.bytes, len(content)) == (media_type, size, size)
    assert fetched.sha256 == sha256(content).hexdigest()
    assert not any("x-api-key" in headers or "cookie" in headers for _, headers in storage.seen)


@pytest.mark.parametrize("path", FAILURES)
def test_a_recording_that_does_not_come_has_a_status(storage: Storage, path: str) -> None:
    _, status, requests = FAILURES[path]
    assert status_of(storage.url + path) == status
    assert len(storage.seen) == requests


@pytest.mark.parametrize(("path", "seconds"), [("/slow", 1), ("/slow-headers", 1), ("/whole", 0)])
def test_a_host_that_takes_too_long_is_cut_off(
    storage: Storage, monkeypatch: pytest.MonkeyPatch, path: str, seconds: float
) -> None:
    monkeypatch.setattr(fetch, "SECONDS", seconds)
    assert status_of(storage.url + path) == "failed"


def test_once_closed_no_recording_comes(storage: Storage) -> None:
    closed = fetcher()
    closed.close()
    with pytest.raises(RecordingError, match="failed"):
        closed.fetch(f"{storage.url}/whole", io.BytesIO())


@pytest.mark.parametrize("address", ["93.184.215.14", "2606:4700::1111"])
def test_a_host_that_is_not_there_fails(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    resolve_to(monkeypatch, address)
    connect = Mock(side_effect=ConnectionRefusedError)
    monkeypatch.setattr(socket, "create_connection", connect)
    assert status_of(f"https://{HOST}/a") == "failed"
    assert {call.args[0] for call in connect.mock_calls} == {(address, 443)}


@pytest.mark.parametrize(
    ("addresses", "allow_loopback"),
    [
        *[([ip], True) for ip in ("10.0.0.1", "172.16.0.1", "192.168.1.1", "100.64.0.1")],
        *[([ip], True) for ip in ("0.0.0.0", "169.254.169.254", "100.100.100.200")],
        *[([ip], True) for ip in ("224.0.0.1", "255.255.255.255", "::", "fe80::1", "ff02::1")],
        *[([ip], True) for ip in ("192.0.0.192", "168.63.129.16", "fec0::1", "5f00::1")],
        *[([ip], True) for ip in ("::10.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254")],
        *[([ip], True) for ip in ("fd00:ec2::254", "64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::1")],
        *[([ip], False) for ip in ("127.0.0.1", "::1", "127.8.8.8")],
        (["93.184.215.14", "10.0.0.1"], True),
        (["93.184.215.14", "127.0.0.1"], True),
    ],
)
def test_no_connection_goes_to_an_address_that_is_not_public(
    monkeypatch: pytest.MonkeyPatch, addresses: list[str], allow_loopback: bool
) -> None:
    resolve_to(monkeypatch, *addresses)
    monkeypatch.setattr(socket, "create_connection", lambda *_, **__: pytest.fail("connected"))
    literal = f"[{addresses[0]}]" if ":" in addresses[0] else addresses[0]
    for host in [HOST, literal] if len(addresses) == 1 else [HOST]:
        assert status_of(f"https://{host}/a", allow_loopback=allow_loopback) == "refused"


@pytest.mark.parametrize(
    "address",
    [
        *("http://93.184.215.14/a", "http://127.0.0.1/a", "ftp://93.184.215.14/a"),
        *("file:///etc/passwd", "a.wav", ""),
        *(f"https://user:password@{HOST}/a", "https:///a", "https://[::1/a", "https://a..b/c"),
        *(f"https://{name}/a" for name in ("2130706433", "0x7f000001", "0177.0.0.1", "127.1")),
        *(f"https://{HOST}:99999/a", "https://\x00/a", f"https://{'a' * 300}/"),
    ],
)
def test_an_address_of_another_shape_fails(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setattr(socket, "create_connection", lambda *_, **__: pytest.fail("connected"))
    assert status_of(address, allow_loopback=False) in ("refused", "failed")


@pytest.mark.parametrize(("name", "trusted"), [(HOST, True), ("other.example", False)])
def test_the_address_that_was_checked_is_used_and_the_certificate_is_the_host_s(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, trusted: bool
) -> None:
    certificate = make_certificate(tmp_path / "host.pem", name)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    looked_up = resolve_to(monkeypatch, "127.0.0.1")
    headers = {"Content-Type": "audio/wav"}
    with RawServer(WAVE, headers=headers, tls=server_context(certificate)) as server:
        port = server.url.rpartition(":")[2].removesuffix("/v1")
        address = f"https://{HOST}:{port}/recording?token=secret"
        if trusted:
            assert fetcher().fetch(address, io.BytesIO()).bytes == len(WAVE)
            assert [(path, sent["host"]) for path, sent in server.seen] == [
                ("/recording?token=secret", f"{HOST}:{port}")
            ]
        else:
            assert status_of(address) == "failed"
            assert server.seen == []
    assert set(looked_up) == {HOST}


def test_no_log_has_the_address(storage: Storage, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    for path in ("/whole", "/404", "/cut"):
        with suppress(RecordingError):
            fetcher().fetch(f"{storage.url}{path}?token=secret", io.BytesIO())
    assert len(storage.seen) == 1 + 1 + 3
    assert "secret" not in caplog.text
    assert storage.url not in caplog.text
