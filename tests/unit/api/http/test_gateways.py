"""Errors of TalkPilot and of others: what each means, what to do, and whether a retry helps."""

from __future__ import annotations

import json
from typing import NamedTuple

import pytest

from airflow_provider_talkpilot.api import errors
from airflow_provider_talkpilot.api.exchange import Request
from tests.unit.api.conftest import MakeClient
from tests.unit.api.raw_server import RawServer

TRIES = 3
AT_ONCE, LATER, NEVER = TRIES, 1, 0
"""The request is sent again; the next try of the task may work; somebody must act first."""

EDGE_PAGE = (
    b"<!DOCTYPE html>\n<html><head><style>p{}</style><title>\n 502 Bad\n Gateway </title></head>"
    b"<body><h1>Error</h1><script>alert('x')</script></body></html>"
)
CHALLENGE = b"<html><head><title>Just a moment...</title></head><body>Ray ID: 8f</body></html>"
PLAIN_PAGE = b"<html><body><h1>Sign in to the <b>guest</b>&nbsp;network</h1></body>"


class Case(NamedTuple):
    """One response, and what becomes of it."""

    status: int
    body: bytes
    error: type[errors.ApiError]
    retry: int
    quote: str
    cure: str


def json_of(**fields: object) -> bytes:
    return json.dumps(fields).encode()


def envelope(code: str, message: str = "So it is", /, **detail: str) -> bytes:
    error = {"code": code, "message": message, "details": [detail] if detail else "?"}
    return json_of(error=error | {"request_id": "req_1"})


Blocked, Gateway, Server = errors.GatewayBlockedError, errors.GatewayError, errors.ServerError
Unreadable, HiddenAgent = errors.UnreadableResponseError, errors.AgentNotAccessibleError

UNTITLED = b"<html><style>b {}</style>Just a <b>moment</b><script>go()</script></html>"
NOT_FOUND = json_of(code="NOT_FOUND", message="Requested function was not found")
BOOT_ERROR = json_of(code="BOOT_ERROR", message="Worker failed to boot")
BAD_LIMIT = envelope("VALIDATION_ERROR", "Wrong", field="limit", message="At most 100")
PAUSED = json_of(message="Project paused")
LIMIT = json_of(code="WORKER_LIMIT", message="out of memory")
LOGIN_PAGE = b"<html><head><title>Sign in &middot; Example Ltd</title></head></html>"
USEFUL = "Run 00000000-0000-4000-8000-000000000000 of 2026-03-16 on port 5432 failed, PGRST301"
BAD_TOKEN = json_of(code=401, message="Invalid JWT")

BY_OTHERS = [
    Case(400, b"<html><h1>Bad Request</h1></html>", Blocked, NEVER, "400: Bad Request.", "proxy"),
    Case(401, BAD_TOKEN, Gateway, LATER, "401: Invalid JWT.", "nothing about"),
    Case(401, b"", Gateway, LATER, "401: Unauthorized, with an empty body.", "nothing about the"),
    Case(402, json_of(message="Restricted"), Blocked, NEVER, "402: Restricted.", "support"),
    Case(403, CHALLENGE, Gateway, LATER, "403: Just a moment.", "nothing about the API key"),
    Case(403, UNTITLED, Gateway, LATER, "403: Just a moment", "nothing about the API key"),
    Case(404, NOT_FOUND, Blocked, NEVER, "404: NOT_FOUND: Requested", "no TalkPilot API at this"),
    Case(410, b"The page\n\nNOT_FOUND\n", Blocked, NEVER, "The page NOT_FOUND", "no TalkPilot"),
    Case(405, b"", Blocked, NEVER, "405: Method Not Allowed", "not TalkPilot that refused"),
    Case(407, b"<title>Proxy login</title>", Blocked, NEVER, "407: Proxy login.", "HTTPS_PROXY"),
    Case(408, b"", Server, AT_ONCE, "408: Request Timeout", "may work later"),
    Case(500, json_of(error="relation calls"), Server, AT_ONCE, "relation calls", "may work later"),
    Case(500, b'"it broke"', Server, AT_ONCE, "500: it broke.", "may work later"),
    Case(500, b"\x00\x01\x02", Server, AT_ONCE, "500: 3 bytes.", "may work later"),
    Case(502, EDGE_PAGE, Server, AT_ONCE, "502: 502 Bad Gateway.", "may work later"),
    Case(503, BOOT_ERROR, Server, AT_ONCE, "BOOT_ERROR: Worker failed to boot.", "may work"),
    Case(511, PLAIN_PAGE, Blocked, NEVER, "511: Sign in to the guest network.", "HTTPS_PROXY"),
    Case(546, LIMIT, Server, AT_ONCE, "546: WORKER_LIMIT: out of memory.", "may work later"),
    Case(540, PAUSED, Blocked, NEVER, "540: Project paused.", "stopped it"),
    Case(500, json_of(message=USEFUL), Server, AT_ONCE, f"500: {USEFUL}.", "may work later"),
    Case(200, json_of(error="is down"), Unreadable, AT_ONCE, "is down", "base URL"),
    Case(200, b"", Unreadable, AT_ONCE, "no JSON, 0 bytes, ", "the base URL"),
    Case(200, b"[]", errors.UnexpectedResponseError, NEVER, "JSON that is no object", "base URL"),
    Case(302, b"", errors.UnexpectedResponseError, NEVER, "302, a redirect that leads", "base URL"),
    Case(200, b'{"data":[', Unreadable, AT_ONCE, "no JSON, 9 bytes, ", "shape is https://api.talk"),
    Case(200, LOGIN_PAGE, Unreadable, AT_ONCE, "HTML (Sign in · Example Ltd), ", "base URL"),
]
BY_TALKPILOT = [
    Case(400, BAD_LIMIT, errors.BadRequestError, NEVER, "(limit: At most 100)", "named parameter"),
    Case(401, envelope("UNAUTHORIZED"), errors.AuthenticationError, NEVER, "401 UNA", "renew it"),
    Case(403, envelope("FORBIDDEN"), errors.PermissionDeniedError, NEVER, "403 FORB", "Grant"),
    Case(403, envelope("AGENT_NOT_ACCESSIBLE"), HiddenAgent, NEVER, "403 AGENT_N", "agent_ids"),
    Case(404, envelope("NOT_FOUND"), errors.NotFoundError, NEVER, "404 NOT_FOUND", "this address"),
    Case(409, envelope("CONFLICT"), Server, AT_ONCE, "409 CONFLICT", "may work later"),
    Case(418, envelope("TEAPOT"), errors.ApiError, NEVER, "418 TEAPOT", "documentation"),
    Case(540, envelope("INTERNAL_ERROR"), Server, AT_ONCE, "540 INTERNAL_ERROR", "may work later"),
]


@pytest.mark.parametrize("case", BY_OTHERS + BY_TALKPILOT, ids=lambda case: f"{case[0]}-{case[4]}")
def test_who_responded_and_the_status_decide(make_client: MakeClient, case: Case) -> None:
    with RawServer(case.body, case.status) as server:
        with pytest.raises(errors.ApiError) as caught:
            make_client(base_url=server.url, tries=TRIES).agents()
        requests = len(server.seen)
    error, message = caught.value, str(caught.value)
    assert type(error) is case.error
    assert error.status == case.status
    assert requests == (TRIES if case.retry == AT_ONCE else 1)
    assert error.retryable is (case.retry != NEVER)
    assert case.quote in message
    assert case.cure in message
    assert len(message.splitlines()) == 1
    assert len(message) < 700
    assert ("req_1" in message) is (case in BY_TALKPILOT)
    assert ("renew" in message) is (case.error is errors.AuthenticationError)


@pytest.mark.parametrize(
    "body",
    [
        json_of(message="No route for /v1/agents?search=Erika&phone_number=%2B493012345678"),
        json_of(message="Caller +49 (30) 1234-5678 / 030 123 45 67 is <erika@example.com>"),
        json_of(error="Bearer abc123 eyJhbGciOi.eyJzdWIi.c2ln and tp_live_" + "a" * 32),
        b"<title>0049.30.12345678 https://erika:pw@example.com/x?token=abc123</title>",
        b"4930-1234-5678 erika%40example.com " + b"f" * 40,
        envelope("INTERNAL_ERROR", "no such caller: +4930123456 (Erika@example.com)"),
        envelope("INTERNAL_ERROR", "Erika is no name", field="search", message="Erika is wrong"),
        envelope("INTERNAL_ERROR", "invalid name: Frederika", field="x", message="Ulrika"),
    ],
)
def test_nothing_personal_is_quoted(make_client: MakeClient, body: bytes) -> None:
    sent = Request("calls", "agents/x", {"search": "Erika", "phone_number": "+493012345678"})
    with RawServer(body, 500) as server, pytest.raises(errors.ServerError) as caught:
        make_client(base_url=server.url, tries=1).fetch(sent)
    message = str(caught.value).replace(server.url, "")
    for hidden in ("rika", "1234", "123 45", "abc123", "eyJ", "aaaa", "ffff", "pw@"):
        assert hidden not in message
