"""Fetches one recording, and only from a place that it may come from.

The address of a recording comes with a response of the API, and may lead anywhere. So the fetcher
sends no API key, uses https only, and connects only to public addresses. It looks the host's
addresses up once, checks them, and connects to one of those: a name that points elsewhere a moment
later leads nowhere else.
"""

from __future__ import annotations

import hashlib
import re
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from itertools import count
from threading import Event, Timer
from typing import IO, Any, Literal, NamedTuple

import httpx
import tenacity

from airflow_provider_talkpilot import __version__
from airflow_provider_talkpilot.api.http.transport import certificates, unlogged
from airflow_provider_talkpilot.staging.temporary import temporary_errors

Status = Literal["archived", "none", "expired", "too_large", "refused", "failed", "deleted"]
"""What became of a recording: the column ``recording_status``."""

SECONDS = 300.0
"""How long one recording may take, all tries together."""
TRIES = 3
"""How often a recording is tried where the network or the host fails."""
BACKOFF = 1.0
"""Seconds before the second try at most; before the third, twice as long."""

_REDIRECTS = 3
_HEAD = 16
# How storage hosts refuse an address that is dead. Supabase sends 400.
_DEAD = frozenset({400, 401, 403, 404, 410})
_RETRYABLE = frozenset({408, 425, 429, *range(500, 600)})
_TYPE = re.compile(r"(?:audio|video)/[a-z0-9][a-z0-9.+-]{0,60}|application/ogg")
# How files of audio and video begin: iana.org/assignments/media-types, and each format's document.
_BEGINNING = re.compile(
    # MPEG's and ADTS's frames, but no byte order mark: that begins a text.
    rb"RIFF....(?:WAVE|AVI )|FORM....AIF[FC]|OggS|fLaC|ID3|\xff[\xe2-\xe7\xf0-\xfd]|....ftyp"
    rb"|\x1a\x45\xdf\xa3|#!AMR|caff|\.snd|\x30\x26\xb2\x75|FLV\x01|\x00\x00\x01\xba",
    re.DOTALL,
)
# Metadata services that Python takes for public: Azure's address is a public one, and Python before
# 3.11.10 does not know Oracle's.
# learn.microsoft.com/azure/virtual-network/what-is-ip-address-168-63-129-16
_METADATA = frozenset({ip_address("168.63.129.16"), ip_address("192.0.0.192")})
# All of the Internet: iana.org/assignments/ipv6-address-space. Python takes some others for public.
_UNICAST = IPv6Network("2000::/3")
_NAT64 = IPv6Network("64:ff9b::/96")  # RFC 6052: the last 32 bits are an IPv4 address


class RecordingError(Exception):
    """A recording was not fetched. It has only the status: no log may hold an address."""

    def __init__(self, status: Status) -> None:
        super().__init__(status)
        self.status: Status = status


class _PassingError(RecordingError):
    """Another try can help."""


class Fetched(NamedTuple):
    """What the table gets to know of a recording.

    :param type: the media type, without parameters.
    :param bytes: the size.
    :param sha256: in hex.
    """

    type: str
    bytes: int
    sha256: str


class Fetcher:
    """Fetches recordings, from any number of threads.

    :param max_bytes: a larger recording is not fetched.
    :param allow_loopback: fetch from this machine too, and over plain http: for the sandbox.
    """

    def __init__(self, max_bytes: int, *, allow_loopback: bool = False) -> None:
        self._max_bytes, self._allow_loopback = max_bytes, allow_loopback
        self._closed = Event()
        self._options: dict[str, Any] = {
            "headers": {
                "User-Agent": f"airflow-provider-talkpilot/{__version__}",
                "Accept": "audio/*, video/*",
                "Accept-Encoding": "identity",
            },
            "timeout": httpx.Timeout(30, connect=10),
            "verify": certificates(),
            # A proxy would choose the address, in place of the check.
            "trust_env": False,
            # A connection to one host may not be used for another host of the same address.
            "limits": httpx.Limits(max_keepalive_connections=0),
        }

    def close(self) -> None:
        """Make all fetches under way fail soon."""
        self._closed.set()

    def fetch(self, address: str, file: IO[bytes]) -> Fetched:
        """Write a recording into a file.

        :param address: as the API sent it.
        :param file: its content is replaced.
        :raises RecordingError: when there is no recording, with the status.
        :raises StagingError: when the file cannot be written.
        """
        end, numbers = time.monotonic() + SECONDS, count()
        attempts = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(_PassingError),
            wait=tenacity.wait_random_exponential(multiplier=BACKOFF, max=30),
            stop=tenacity.stop_after_attempt(TRIES)
            | tenacity.stop_after_delay(SECONDS)
            | tenacity.stop_when_event_set(self._closed),
            sleep=tenacity.sleep_using_event(self._closed),
            reraise=True,
        )
        return attempts(lambda: self._try(address, file, end, next(numbers)))

    def _try(self, address: str, file: IO[bytes], end: float, number: int) -> Fetched:
        with _errors(), unlogged(), httpx.Client(**self._options) as client, _cut_at(end) as trace:
            url = httpx.URL(address)
            for _ in range(_REDIRECTS + 1):
                extensions = {"sni_hostname": url.raw_host.decode(), "trace": trace}
                resolved, host = self._resolve(url, number), {"Host": url.netloc.decode()}
                with client.stream(
                    "GET", resolved, headers=host, extensions=extensions
                ) as response:
                    if not response.has_redirect_location:
                        return self._read(response, file)
                    url = url.join(response.headers["Location"])
        raise RecordingError("refused")

    def _resolve(self, url: httpx.URL, number: int) -> httpx.URL:
        """Return the URL with an address in place of its host's name.

        :param number: of the try: each uses another of the host's addresses.
        :raises RecordingError: when one of the addresses must not be connected to.
        """
        if url.scheme not in ("https", "http") or not url.host or url.userinfo:
            raise RecordingError("refused")
        try:
            port = url.port or (443 if url.scheme == "https" else 80)
            found = socket.getaddrinfo(url.raw_host.decode(), port, type=socket.SOCK_STREAM)
        except UnicodeError:
            raise RecordingError("refused") from None
        except OSError:
            raise _PassingError("failed") from None
        addresses = [ip_address(entry[4][0]) for entry in found]
        is_local = self._allow_loopback and all(address.is_loopback for address in addresses)
        if not is_local and (url.scheme == "http" or not all(map(is_public, addresses))):
            raise RecordingError("refused")
        return url.copy_with(host=str(addresses[number % len(addresses)]))

    def _read(self, response: httpx.Response, file: IO[bytes]) -> Fetched:
        if response.status_code in _DEAD:
            raise RecordingError("expired")
        if response.status_code in _RETRYABLE:
            raise _PassingError("failed")
        if response.status_code != 200:
            raise RecordingError("failed")
        media_type = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        encoding = response.headers.get("Content-Encoding", "identity")
        # Without a length, a connection that is cut looks like the end.
        has_length = not response.headers.keys().isdisjoint({"content-length", "transfer-encoding"})
        if not _TYPE.fullmatch(media_type) or encoding != "identity" or not has_length:
            raise RecordingError("refused")
        if int(response.headers.get("Content-Length", 0)) > self._max_bytes:
            raise RecordingError("too_large")
        head, size, digest = b"", 0, hashlib.sha256()
        file.seek(0)
        file.truncate()
        # httpx raises an error where fewer bytes come than were announced.
        for chunk in response.iter_raw():
            head += chunk[: _HEAD - len(head)]
            size += len(chunk)
            if len(head) == _HEAD and not _BEGINNING.match(head):
                raise RecordingError("refused")
            if size > self._max_bytes:
                raise RecordingError("too_large")
            if self._closed.is_set():
                raise RecordingError("failed")
            digest.update(chunk)
            with temporary_errors():
                file.write(chunk)
        if not _BEGINNING.match(head):
            raise RecordingError("refused")
        with temporary_errors():
            file.flush()
        return Fetched(media_type, size, digest.hexdigest())


def is_public(address: IPv4Address | IPv6Address) -> bool:
    """Return whether an address is public. Of an IPv4 address inside IPv6, the inner one counts."""
    if isinstance(address, IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if address in _NAT64:
            inner = IPv4Address(int(address) & 0xFFFFFFFF)
        if inner:
            return is_public(inner)
        if address not in _UNICAST:
            return False
    return address.is_global and not address.is_multicast and address not in _METADATA


@contextmanager
def _errors() -> Iterator[None]:
    """Raise a :class:`RecordingError` in place of errors whose texts hold the address."""
    try:
        yield
    except (httpx.InvalidURL, httpx.UnsupportedProtocol, ValueError):
        raise RecordingError("refused") from None
    except (httpx.HTTPError, OSError):
        raise _PassingError("failed") from None


@contextmanager
def _cut_at(end: float) -> Iterator[Any]:
    """Cut the connection at a moment; httpx's time-outs begin anew with every byte.

    :return: the function that httpx calls with each step of a request.
    """
    connection: socket.socket | None = None

    def cut() -> None:
        if connection:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def trace(event: str, info: dict[str, Any]) -> None:
        nonlocal connection
        if event in ("connection.connect_tcp.complete", "connection.start_tls.complete"):
            connection = info["return_value"].get_extra_info("socket")
            if time.monotonic() > end:  # it took long to look the name up
                cut()

    timer = Timer(max(end - time.monotonic(), 0.0), cut)
    timer.daemon = True
    timer.start()
    try:
        yield trace
    finally:
        timer.cancel()
