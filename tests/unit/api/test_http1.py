"""What a connection makes of the bytes that a server sends, however they come."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from http.client import HTTPConnection
from itertools import pairwise
from threading import Thread

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_talkpilot.api.http1 import FAILURES, Answer, Connection

SECONDS = 10.0
OK = b"HTTP/1.1 200 OK\r\n"
GOOD = OK + b"Content-Length: 4\r\n\r\ngood"
HINTS = b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\n\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\ngo\r\n2;a=b\r\nod\r\n0\r\nX: y\r\n\r\n"
TO_THE_END = b"HTTP/1.0 200 OK\r\n\r\ngood"


class Pair:
    """A connection, and the other end of it."""

    def __init__(self) -> None:
        ours, self.server = socket.socketpair()
        way = HTTPConnection("api.example")
        way.sock = ours
        self.connection = Connection(way, {"Host": "api.example", "X-API-Key": "k"})

    def __enter__(self) -> Pair:
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()
        self.server.close()

    def answer(self, *pieces: bytes, ends: bool = False) -> Answer:
        """What comes of it when a server sends this, piece by piece."""

        def send() -> None:
            for piece in pieces:
                self.server.sendall(piece)
            if ends:
                self.server.shutdown(socket.SHUT_WR)

        sending = Thread(target=send)  # what is long does not go until it is read
        sending.start()
        try:
            return self.connection.receive(SECONDS)
        finally:
            if ends:
                self.connection.close()
            sending.join()


@pytest.fixture
def pair() -> Iterator[Pair]:
    with Pair() as pair:
        yield pair


def test_a_request_is_what_the_field_writes(pair: Pair) -> None:
    pair.connection.send("/v1/agents?limit=100", SECONDS)
    assert pair.server.recv(9999) == (
        b"GET /v1/agents?limit=100 HTTP/1.1\r\nHost: api.example\r\nX-API-Key: k\r\n\r\n"
    )


@pytest.mark.parametrize("target", ["/a b", "/a\r\nX-More: b", "/\xfc", "/\x00", "a", ""])
def test_nothing_is_smuggled_into_a_request(pair: Pair, target: str) -> None:
    with pytest.raises(FAILURES, match="characters that no address has"):
        pair.connection.send(target, SECONDS)
    pair.connection.close()
    assert pair.server.recv(9999) == b""


@given(
    answer=st.sampled_from([GOOD, HINTS + GOOD, HINTS + HINTS + CHUNKED, CHUNKED, TO_THE_END]),
    cuts=st.lists(st.integers(0, 200), max_size=8),
)
def test_bytes_may_come_in_any_pieces(answer: bytes, cuts: list[int]) -> None:
    places = sorted({0, len(answer), *(cut for cut in cuts if cut < len(answer))})
    with Pair() as pair:
        pieces = [answer[start:end] for start, end in pairwise(places)]
        found = pair.answer(*pieces, ends=answer is TO_THE_END)
        assert (found.status, found.reason, found.content) == (200, "OK", b"good")
        assert pair.connection.is_open is (answer is not TO_THE_END)


def test_one_answer_after_the_other(pair: Pair) -> None:
    for number in range(3):
        body = b"x" * 70_000 * number
        head = OK + b"A: %d\r\na:  B \r\nContent-Length: %d\r\n\r\n" % (number, len(body))
        found = pair.answer(head, body)
        assert found.content == body
        assert found.headers[:2] == [("A", str(number)), ("a", "B")]
    assert pair.connection.is_open
    assert not pair.connection.is_dropped


def test_a_status_without_a_body_has_none(pair: Pair) -> None:
    assert pair.answer(b"HTTP/1.1 304 Not Modified\r\n\r\n").content == b""
    assert pair.answer(GOOD).content == b"good"


@pytest.mark.parametrize(
    "answer",
    [
        GOOD.replace(b"200 OK", b"200 OK\r\nConnection: close"),
        GOOD.replace(b"HTTP/1.1", b"HTTP/1.0"),
        GOOD + b"HTTP/1.1 200 OK\r\n",
        GOOD + GOOD,
        GOOD + b"what nobody asked for",
        GOOD.replace(b"200 OK", b"200 OK\r\nConnection: close") + b"more",
        GOOD + HINTS,
    ],
)
def test_a_connection_that_says_more_or_ends_is_not_used_again(pair: Pair, answer: bytes) -> None:
    assert pair.answer(answer).content == b"good"
    assert not pair.connection.is_open


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (b"", "without an answer"),
        (b"HTTP/1.1 20", "without an answer"),
        (HINTS, "without an answer"),
        (OK + b"Content-Length: 10\r\n\r\nabc", "3 bytes read, 7 more expected"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nab", "2 bytes read"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nab", "chunk size"),
        (OK + b"Content-Length: -1\r\n\r\n", "Content-Length"),
        (OK + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n", "Content-Length"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "Expected HTTP"),
        (OK + b"A: b\r\n" * 15_000, "headers of more than 65,536 bytes"),
        (OK + b"A: " + b"b" * 70_000, "headers of more than 65,536 bytes"),
        (b"HTTP/1.1 101 Go\r\nConnection: upgrade\r\nUpgrade: tls\r\n\r\n", r"^\d+$"),
    ],
)
def test_what_is_no_whole_answer_is_an_error(pair: Pair, answer: bytes, says: str) -> None:
    with pytest.raises(FAILURES, match=says):
        pair.answer(answer, ends=True)


def test_a_server_that_stays_silent_is_left(pair: Pair) -> None:
    with pytest.raises(TimeoutError):
        pair.connection.receive(0.01)
