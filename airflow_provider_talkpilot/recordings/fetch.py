"""Fetches one recording, from no place that it must not come from.

An address comes with a response of the API, and may lead anywhere. It is fetched over https
alone, without the API key, from public addresses alone, and the address that was checked is the one
that is connected to. So a name that changes its meaning in between leads nowhere else.
"""

from __future__ import annotations

import hashlib
import re
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from itertools import count
from threading import Event, Timer
from typing import IO, Any, Literal, NamedTuple

import httpx
import tenacity

from airflow_provider_talkpilot import __version__
from airflow_provider_talkpilot.api.http.transport import certificates, unlogged
from airflow_provider_talkpilot.staging.scratch import temporary_errors

Status = Literal["archived", "none", "expired", "too_large", "refused", "failed", "deleted"]
"""What became of a recording: the column ``recording_status``."""

REDIRECTS = 3
_HEAD = 16
# What storage hosts say of an address that is dead. Supabase says 400.
_DEAD = frozenset({400, 401, 403, 404, 410})
_PASSING = frozenset({408, 425, 429, *range(500, 600)})
_TYPE = re.compile(r"(?:audio|video)/[a-z0-9][a-z0-9.+-]{0,60}|application/ogg")
# How files of audio and video begin: iana.org/assignments/media-types, and each format's document.
_BEGINNING = re.compile(
    # MPEG's and ADTS's frames, but no byte order mark: that begins a text.
    rb"RIFF....(?:WAVE|AVI )|FORM....AIF[FC]|OggS|fLaC|ID3|\xff[\xe2-\xe7\xf0-\xfd]|....ftyp"
    rb"|\x1a\x45\xdf\xa3|#!AMR|caff|\.snd|\x30\x26\xb2\x75|FLV\x01|\x00\x00\x01\xba",
    re.DOTALL,
)
# They respond in the networks of one cloud. The one of Azure is a public address, and Pythons from
# before 3.11.10 take the one of Oracle for public:
# learn.microsoft.com/azure/virtual-network/what-is-ip-address-168-63-129-16
_METADATA = frozenset({ip_address("168.63.129.16"), ip_address("192.0.0.192")})
# All of the Internet: iana.org/assignments/ipv6-address-space. Python takes some others for public.
_UNICAST = IPv6Network("2000::/3")
_NAT64 = IPv6Network("64:ff9b::/96")  # RFC 6052: its last 32 bits are an IPv4 address


class RecordingError(Exception):
    """No recording came. The status is all it says: an address must not get into any log."""

    def __init__(self, status: Status) -> None:
        super().__init__(status)
        self.status: Status = status


class _PassingError(RecordingError):
    """Another try can help."""


class Fetched(NamedTuple):
    """What came.

    :param type: the media type, without parameters.
    :param bytes: the size.
    :param sha256: in hex.
    """

    type: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class FetchRules:
    """How much is fetched, and how long it may take.

    :param max_bytes: a larger recording is not fetched.
    :param seconds: for one recording, all tries together.
    :param tries: how often it is tried where the network or the host fails.
    :param backoff: seconds before the second try at most; before the third twice as long.
    :param allow_loopback: fetch from this machine too, also over plain http: for the sandbox.
    """

    max_bytes: int = 500_000_000
    seconds: float = 300.0
    tries: int = 3
    backoff: float = 1.0
    allow_loopback: bool = False


class Fetcher:
    """Fetches recordings; may be used by several threads.

    :param rules: how much, and how long.
    """

    def __init__(self, rules: FetchRules) -> None:
        self.rules = rules
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
        """Let what has not come yet fail soon."""
        self._closed.set()

    def fetch(self, address: str, file: IO[bytes]) -> Fetched:
        """Write a recording into a file.

        :param address: as the API gave it.
        :param file: what is in it is replaced.
        :raises RecordingError: when none came, with its status.
        :raises StagingError: when the file cannot be written.
        """
        end, numbers = time.monotonic() + self.rules.seconds, count()
        attempts = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(_PassingError),
            wait=tenacity.wait_random_exponential(multiplier=self.rules.backoff, max=30),
            stop=tenacity.stop_after_attempt(self.rules.tries)
            | tenacity.stop_after_delay(self.rules.seconds)
            | tenacity.stop_when_event_set(self._closed),
            sleep=tenacity.sleep_using_event(self._closed),
            reraise=True,
        )
        return attempts(lambda: self._try(address, file, end, next(numbers)))

    def _try(self, address: str, file: IO[bytes], end: float, number: int) -> Fetched:
        with _errors(), unlogged(), httpx.Client(**self._options) as client, _cut_at(end) as trace:
            url = httpx.URL(address)
            for _ in range(REDIRECTS + 1):
                extensions = {"sni_hostname": url.raw_host.decode(), "trace": trace}
                checked, host = self._checked(url, number), {"Host": url.netloc.decode()}
                with client.stream("GET", checked, headers=host, extensions=extensions) as response:
                    if not response.has_redirect_location:
                        return self._take(response, file, end)
                    url = url.join(response.headers["Location"])
        raise RecordingError("refused")

    def _checked(self, url: httpx.URL, number: int) -> httpx.URL:
        """Give the URL with the address that its host has now; that is where the request goes.

        :param number: of the try: each takes another of the host's addresses.
        :raises RecordingError: when one of them must not be connected to.
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
        is_here = self.rules.allow_loopback and all(each.is_loopback for each in addresses)
        if not is_here and (url.scheme == "http" or not all(map(is_public, addresses))):
            raise RecordingError("refused")
        return url.copy_with(host=str(addresses[number % len(addresses)]))

    def _take(self, response: httpx.Response, file: IO[bytes], end: float) -> Fetched:
        if response.status_code in _DEAD:
            raise RecordingError("expired")
        if response.status_code in _PASSING:
            raise _PassingError("failed")
        if response.status_code != 200:
            raise RecordingError("failed")
        media_type = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        encoding = response.headers.get("Content-Encoding", "identity")
        # Without a length a connection that is cut looks like the end.
        has_length = not response.headers.keys().isdisjoint({"content-length", "transfer-encoding"})
        if not _TYPE.fullmatch(media_type) or encoding != "identity" or not has_length:
            raise RecordingError("refused")
        if int(response.headers.get("Content-Length", 0)) > self.rules.max_bytes:
            raise RecordingError("too_large")
        head, size, digest = b"", 0, hashlib.sha256()
        file.seek(0)
        file.truncate()
        # That as many bytes come as were announced, httpx sees to.
        for chunk in response.iter_raw():
            head, size = head + chunk[: _HEAD - len(head)], size + len(chunk)
            if len(head) == _HEAD and not _BEGINNING.match(head):
                raise RecordingError("refused")
            if size > self.rules.max_bytes:
                raise RecordingError("too_large")
            if self._closed.is_set() or time.monotonic() > end:
                raise RecordingError("failed")
            digest.update(chunk)
            with temporary_errors():
                file.write(chunk)
        if not _BEGINNING.match(head):
            raise RecordingError("refused")
        if time.monotonic() > end:
            raise RecordingError("failed")
        with temporary_errors():
            file.flush()
        return Fetched(media_type, size, digest.hexdigest())


def is_public(address: IPv4Address | IPv6Address) -> bool:
    """Whether an address is one of the public Internet, whatever it is wrapped in."""
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
    """Raise errors that say nothing of the address in place of others."""
    try:
        yield
    except (httpx.InvalidURL, httpx.UnsupportedProtocol, ValueError):
        raise RecordingError("refused") from None
    except (httpx.HTTPError, OSError):
        raise _PassingError("failed") from None


@contextmanager
def _cut_at(end: float) -> Iterator[Any]:
    """Cut connections at a moment, also those whose host sends one byte now and then.

    :return: what httpx calls with each step of a request.
    """
    open_now: list[socket.socket] = []

    def cut() -> None:
        for each in open_now:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def trace(event: str, info: dict[str, Any]) -> None:
        if event in ("connection.connect_tcp.complete", "connection.start_tls.complete"):
            open_now[:] = [info["return_value"].get_extra_info("socket")]
            if time.monotonic() > end:  # the name took long to look up
                cut()

    timer = Timer(max(end - time.monotonic(), 0.0), cut)
    timer.daemon = True
    timer.start()
    try:
        yield trace
    finally:
        timer.cancel()
