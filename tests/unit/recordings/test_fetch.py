"""Where a recording may come from, and what becomes of each that does not."""

from __future__ import annotations

import io
import socket
import socketserver
import threading
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_talkpilot.recordings.fetch import Fetcher, FetchRules, RecordingError
from tests.support.tls import make_certificate, server_context
from tests.unit.api.raw_server import RawServer

WAVE = b"RIFF\x24\x00\x00\x00WAVEfmt " + bytes(1000)
SMALL = FetchRules(max_bytes=2000, seconds=20, tries=2, backoff=0, allow_loopback=True)
HOST = "storage.example"


def response(
    body: bytes = WAVE, media_type: str = "audio/wav", status: int = 200, **headers: object
) -> bytes:
    lines = {"Content-Type": media_type, "Content-Length": len(body)} | {
        name.replace("_", "-"): value for name, value in headers.items()
    }
    text = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"HTTP/1.1 {status} Status\r\n{text}\r\n".encode() + body


def redirect(to: str) -> bytes:
    return response(b"", status=302, Location=to)


RESPONSES = {
    "/whole": response(),
    "/chunked": b"HTTP/1.1 200 OK\r\nContent-Type: audio/mpeg; x=y\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n5\r\nID3ab\r\n0\r\n\r\n",
    "/three": redirect("/two"),
    "/two": redirect("/one"),
    "/one": redirect("/whole"),
    "/four": redirect("/three"),
    "/metadata": redirect("https://169.254.169.254/latest/meta-data"),
    "/plain": redirect("http://192.0.2.1/recording"),
    "/elsewhere": redirect("//10.0.0.1/recording"),
    "/named": redirect("//user:password@127.0.0.1/recording"),
    "/file": redirect("file:///etc/passwd"),
    "/403": response(b"{}", "application/json", 403),
    "/404": response(b"{}", "application/json", 404),
    "/400": response(b"{}", "application/json", 400),
    "/503": response(b"", "text/html", 503),
    "/204": response(b"", status=204),
    "/nowhere": response(b"", status=302),
    "/cut": response(Content_Length=len(WAVE) + 1),
    "/cut-chunks": b"HTTP/1.1 200 OK\r\nContent-Type: audio/wav\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n10\r\nRIFF",
    "/announced-huge": response(Content_Length=2001),
    "/huge": b"HTTP/1.1 200 OK\r\nContent-Type: audio/wav\r\nTransfer-Encoding: chunked\r\n\r\n"
    + b"%x\r\n%b\r\n0\r\n\r\n" % (len(WAVE) * 3, WAVE * 3),
    "/no-length": b"HTTP/1.1 200 OK\r\nContent-Type: audio/wav\r\n\r\n" + WAVE,
    "/no-type": response(media_type=""),
    "/page": response(b"<html>sign in</html>", "text/html"),
    "/dressed-page": response(b"<html>sign in, please</html>"),
    "/dressed-text": response("<html>sign in</html>".encode("utf-16")),
    "/undressed": response(media_type="application/octet-stream"),
    "/empty": response(b""),
    "/packed": response(Content_Encoding="gzip"),
    "/wrong-length": response(Content_Length="many"),
}
SLOW_START = response(WAVE[:20], Content_Length=5000)


class Handler(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        path = self.rfile.readline().split()[1].decode()
        lines = iter(self.rfile.readline, b"\r\n")
        self.server.seen.append((path, b"".join(lines).decode().lower()))  # type: ignore[attr-defined]
        if path == "/slow":
            self.wfile.write(SLOW_START)
            while not self.server.stopped.wait(0.02):  # type: ignore[attr-defined]
                self.wfile.write(b"x")
        else:
            self.wfile.write(RESPONSES[path])

    def finish(self) -> None:
        """The client may have gone."""


class Storage(socketserver.ThreadingTCPServer):
    """A storage host that says what RESPONSES has, and nothing else."""

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


@pytest.fixture(scope="module")
def running() -> Iterator[Storage]:
    with Storage() as storage:
        thread = threading.Thread(target=storage.serve_forever, args=(0.01,))
        thread.start()
        yield storage
        storage.stopped.set()
        storage.shutdown()
        thread.join()


@pytest.fixture
def storage(running: Storage) -> Storage:
    running.seen.clear()
    return running


def status_of(address: str, rules: FetchRules = SMALL) -> str:
    with pytest.raises(RecordingError) as raised:
        Fetcher(rules).fetch(address, io.BytesIO())
    assert str(raised.value) == raised.value.status  # nothing of the address
    return raised.value.status


def resolve_to(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> list[str]:
    """Let every name mean these addresses; gives the names that are looked up."""
    looked_up: list[str] = []
    real = socket.getaddrinfo

    def look_up(host: str, port: Any, *args: Any, **kwargs: Any) -> list[Any]:
        if host[-1].isdigit() or ":" in host:
            return real(host, port, *args, **kwargs)
        looked_up.append(host)
        return [found for each in addresses for found in real(each, port, *args, **kwargs)]

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
    fetched = Fetcher(SMALL).fetch(storage.url + path, file)
    content = file.getvalue()
    assert (fetched.type, fetched.bytes, len(content)) == (media_type, size, size)
    assert fetched.sha256 == sha256(content).hexdigest()
    assert not any("x-api-key" in headers or "cookie" in headers for _, headers in storage.seen)


@pytest.mark.parametrize(
    ("path", "status", "requests"),
    [
        *[(path, "expired", 1) for path in ("/403", "/404", "/400")],
        *[(path, "failed", 2) for path in ("/503", "/cut", "/cut-chunks", "/wrong-length")],
        *[(path, "failed", 1) for path in ("/204", "/nowhere")],
        *[(path, "too_large", 1) for path in ("/announced-huge", "/huge")],
        *[(path, "refused", 1) for path in ("/no-type", "/page", "/dressed-page", "/undressed")],
        *[(path, "refused", 1) for path in ("/empty", "/packed", "/no-length", "/dressed-text")],
        *[
            (path, "refused", 1)
            for path in ("/metadata", "/plain", "/file", "/elsewhere", "/named")
        ],
        ("/four", "refused", 4),
    ],
)
def test_what_does_not_come_has_a_status(
    storage: Storage, path: str, status: str, requests: int
) -> None:
    assert status_of(storage.url + path) == status
    assert len(storage.seen) == requests


def test_a_host_that_sends_a_byte_now_and_then_is_cut_off(storage: Storage) -> None:
    rules = FetchRules(seconds=0.3, allow_loopback=True)
    assert status_of(f"{storage.url}/slow", rules) == "failed"


def test_a_host_that_is_not_there_fails() -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    assert status_of(f"http://127.0.0.1:{port}/whole") == "failed"


@pytest.mark.parametrize(
    "addresses",
    [
        *[(each,) for each in ("10.0.0.1", "172.16.0.1", "192.168.1.1", "100.64.0.1", "0.0.0.0")],
        *[(each,) for each in ("169.254.169.254", "100.100.100.200", "168.63.129.16")],
        *[(each,) for each in ("224.0.0.1", "255.255.255.255", "::", "fe80::1", "ff02::1")],
        *[(each,) for each in ("192.0.0.192", "fec0::1", "::10.0.0.1", "5f00::1")],
        *[(each,) for each in ("fd00:ec2::254", "::ffff:10.0.0.1", "::ffff:169.254.169.254")],
        *[(each,) for each in ("64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::1")],
        ("93.184.215.14", "10.0.0.1"),
        ("93.184.215.14", "127.0.0.1"),
    ],
)
def test_no_connection_goes_to_an_address_that_is_not_public(
    monkeypatch: pytest.MonkeyPatch, addresses: tuple[str, ...]
) -> None:
    resolve_to(monkeypatch, *addresses)
    monkeypatch.setattr(socket, "create_connection", lambda *_, **__: pytest.fail("connected"))
    assert status_of(f"https://{HOST}/recording") == "refused"
    if len(addresses) == 1:
        [address] = addresses
        literal = f"[{address}]" if ":" in address else address
        assert status_of(f"https://{literal}/recording") == "refused"


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "127.8.8.8"])
def test_this_machine_is_for_the_sandbox_alone(
    monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    resolve_to(monkeypatch, address)
    monkeypatch.setattr(socket, "create_connection", lambda *_, **__: pytest.fail("connected"))
    for scheme in ("https", "http"):
        assert status_of(f"{scheme}://{HOST}/recording", FetchRules(tries=1)) == "refused"


@pytest.mark.parametrize(
    "address",
    [
        *("http://93.184.215.14/a", "ftp://93.184.215.14/a", "file:///etc/passwd", "a.wav", ""),
        *(f"https://user:password@{HOST}/a", "https:///a", "https://[::1/a", "https://a..b/c"),
        *(
            "https://2130706433/a",
            "https://0x7f000001/a",
            "https://0177.0.0.1/a",
            "https://127.1/a",
        ),
        *(f"https://{HOST}:99999/a", "https://\x00/a", f"https://{'a' * 300}/"),
    ],
)
def test_an_address_of_another_shape_is_refused(
    monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setattr(socket, "create_connection", lambda *_, **__: pytest.fail("connected"))
    assert status_of(address, FetchRules(tries=1, backoff=0)) in ("refused", "failed")


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
        rules = FetchRules(tries=1, allow_loopback=True)
        if trusted:
            assert Fetcher(rules).fetch(address, io.BytesIO()).bytes == len(WAVE)
            assert [(path, sent["host"]) for path, sent in server.seen] == [
                ("/recording?token=secret", f"{HOST}:{port}")
            ]
        else:
            assert status_of(address, rules) == "failed"
            assert server.seen == []
    assert looked_up == [HOST]


def test_no_log_has_the_address(storage: Storage, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    for path in ("/whole", "/404", "/cut"):
        address = f"{storage.url}{path}?token=secret"
        RESPONSES[f"{path}?token=secret"] = RESPONSES[path]
        try:
            Fetcher(SMALL).fetch(address, io.BytesIO())
        except RecordingError:
            continue
    assert len(storage.seen) == 4
    assert "secret" not in caplog.text
    assert storage.url not in caplog.text
