"""One HTTP/1.1 connection: GET requests, one after the other, and their answers.

Answers are taken apart by httptools, as Airflow's API server takes requests apart: the standard
library reads headers with its parser of e-mails, which takes several times as long.
"""

from __future__ import annotations

import re
import select
from collections.abc import Mapping
from http.client import (
    HTTPConnection,
    HTTPException,
    IncompleteRead,
    InvalidURL,
    RemoteDisconnected,
)
from typing import NamedTuple

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

FAILURES = (OSError, HTTPException, HttpParserError, HttpParserUpgrade)
"""What a connection raises when no whole answer comes."""

_TARGET = re.compile(r"/[!-~]*")
_MOST_HEAD_BYTES = _BUFFER_BYTES = 1 << 16


class Answer(NamedTuple):
    """An answer that was read whole.

    :param status: HTTP status.
    :param reason: the status in the server's words.
    :param headers: names and values, in order.
    :param content: the body as it came.
    """

    status: int
    reason: str
    headers: list[tuple[str, str]]
    content: bytes


class Connection:
    """A connection; it belongs to one thread from the request to the last byte of the answer.

    After one of :data:`FAILURES` it is to be closed. A closed one opens again when it sends.

    :param way: opens it; through a proxy where there is one.
    :param headers: of every request.
    """

    def __init__(self, way: HTTPConnection, headers: Mapping[str, str]) -> None:
        self._way = way
        self._head = "".join(f"{name}: {value}\r\n" for name, value in headers.items()).encode()
        self._buffer = memoryview(bytearray(_BUFFER_BYTES))
        self._reader = _Reader()

    def send(self, target: str, timeout: float) -> None:
        """Send a request.

        :param target: path and query.
        :param timeout: seconds to wait until it can be sent.
        """
        if not _TARGET.fullmatch(target):
            raise InvalidURL("the address has characters that no address has")
        if self._way.sock is None:
            self._reader = _Reader()
            self._way.connect()
        self._way.sock.settimeout(timeout)
        self._way.sock.sendall(b"GET %b HTTP/1.1\r\n%b\r\n" % (target.encode(), self._head))

    def receive(self, timeout: float) -> Answer:
        """Read the answer to the request that was sent.

        :param timeout: seconds to wait for data of it.
        """
        self._way.sock.settimeout(timeout)
        while self._reader.answer is None:
            size = self._way.sock.recv_into(self._buffer)
            self._reader.feed(self._buffer[:size])
        answer = self._reader.answer
        if self._reader.may_go_on:
            self._reader.answer = None
        else:
            self.close()
        return answer

    def close(self) -> None:
        """Close it."""
        self._way.close()

    @property
    def is_open(self) -> bool:
        """Whether it stands, as far as we closed nothing."""
        return self._way.sock is not None

    @property
    def is_dropped(self) -> bool:
        """Whether there is something to read though nothing was asked: it ends, or is out of step.

        Of one that is open.
        """
        poll = select.poll()
        poll.register(self._way.sock, select.POLLIN)
        return bool(poll.poll(0))


class _Reader:
    """Makes answers of a connection's bytes; the parser calls what begins with ``on``."""

    def __init__(self) -> None:
        self.answer: Answer | None = None
        self.may_go_on = False
        self._parser = HttpResponseParser(self)
        self.on_message_begin()

    def feed(self, data: memoryview) -> None:
        """Take what came; nothing where the connection has ended."""
        if not data:
            self._end()
            return
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade):
            if self.answer is None:
                raise
            self.may_go_on = False  # what came behind it is none
        if self.answer is None and not self._has_head:
            self._head_bytes += len(data)
            if self._head_bytes > _MOST_HEAD_BYTES:
                raise HTTPException(f"headers of more than {_MOST_HEAD_BYTES:,} bytes")

    def _end(self) -> None:
        """What ends with the connection is whole only where nothing else would have ended it."""
        if not self._has_head:
            raise RemoteDisconnected("it closed the connection without an answer")
        told = {name.lower(): value for name, value in self._headers}
        if told.keys() & {"content-length", "transfer-encoding"}:
            read = b"".join(self._content)
            length = told.get("content-length")
            raise IncompleteRead(read, int(length) - len(read) if length else None)
        self.on_message_complete()

    def on_message_begin(self) -> None:
        if self.answer is not None:
            self.may_go_on = False  # nobody asked for it
        self._reason = ""
        self._headers: list[tuple[str, str]] = []
        self._content: list[bytes] = []
        self._has_head, self._head_bytes = False, 0

    def on_status(self, reason: bytes) -> None:
        self._reason += reason.decode("latin-1")

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name.decode("latin-1"), value.decode("latin-1").strip()))

    def on_headers_complete(self) -> None:
        self._has_head = True
        self._status = self._parser.get_status_code()
        if self.answer is None:
            self.may_go_on = self._parser.should_keep_alive()

    def on_body(self, content: bytes) -> None:
        self._content.append(content)

    def on_message_complete(self) -> None:
        if self._status < 200:
            self._has_head = False  # early hints and the like: the answer proper follows
        elif self.answer is None:
            content = b"".join(self._content)
            self.answer = Answer(self._status, self._reason, self._headers, content)
