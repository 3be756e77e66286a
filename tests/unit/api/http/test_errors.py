"""Each thing that can go wrong is an error of its own type, whose message says what to do."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_provider_talkpilot.api import CallFilters, errors
from airflow_provider_talkpilot.api.exchange import Request
from airflow_provider_talkpilot.sandbox import Sandbox
from tests.support.ports import held_port
from tests.unit.api.conftest import DAY, MakeClient
from tests.unit.api.raw_server import RawServer

UNKNOWN = "00000000-0000-4000-8000-000000000000"


def first_page(client: object, agent: str) -> object:
    return next(client.walk_calls(agent, DAY))  # type: ignore[attr-defined]


def test_unknown_key(sandbox: Sandbox, make_client: MakeClient) -> None:
    client = make_client(api_key="tp_live_" + "0" * 32)
    with pytest.raises(errors.AuthenticationError, match=r"renew it.*password.*req_") as caught:
        client.agents()
    assert (caught.value.status, caught.value.code) == (401, "UNAUTHORIZED")
    assert f"support: {caught.value.request_id}." in str(caught.value)
    assert sandbox.counters["agents"] == 1


def test_missing_permission(sandbox: Sandbox, make_client: MakeClient, agent: str) -> None:
    client = make_client(api_key=sandbox.add_key("agents only", permissions=["agents:read"]))
    assert len(client.agents()) == 1
    with pytest.raises(errors.PermissionDeniedError, match=r"calls:read.*Grant.*req_"):
        first_page(client, agent)
    assert sandbox.counters["calls"] == 1


def test_agent_that_the_key_may_not_see(
    sandbox: Sandbox, make_client: MakeClient, agent: str
) -> None:
    client = make_client(api_key=sandbox.add_key("none", allowed_agent_ids=[]))
    with pytest.raises(errors.AgentNotAccessibleError, match=rf"{agent}.*list of agents.*req_"):
        first_page(client, agent)
    sandbox.settings.era = "spring"
    with pytest.raises(errors.NotFoundError, match=r"not allowed to see this agent.*req_"):
        first_page(client, agent)
    assert sandbox.counters["calls"] == 2


def test_unknown_call(sandbox: Sandbox, make_client: MakeClient, agent: str) -> None:
    with pytest.raises(errors.NotFoundError, match="does not exist") as caught:
        make_client().call(agent, UNKNOWN)
    assert caught.value.code == "NOT_FOUND"
    assert sandbox.counters["detail"] == 1


def test_wrong_parameter_is_named(sandbox: Sandbox, make_client: MakeClient) -> None:
    with pytest.raises(errors.BadRequestError, match=r"\(limit: Must be at most 100\)"):
        make_client().fetch(Request("agents", "agents", {"limit": "1000"}))
    assert sandbox.counters["agents"] == 1


@pytest.mark.parametrize(
    ("fault", "error", "says"),
    [
        ("cut", errors.ConnectionFailedError, "No response from http://127.0.0.1"),
        ("bad_json", errors.UnreadableResponseError, r"no JSON, \d\d+ bytes, .*: it was cut"),
        ("html", errors.UnreadableResponseError, "HTML .*instead of TalkPilot's JSON"),
        ("empty", errors.UnreadableResponseError, "no JSON, 0 bytes"),
    ],
)
def test_spoiled_bodies_are_tried_again(
    sandbox: Sandbox, make_client: MakeClient, fault: Any, error: type[Exception], says: str
) -> None:
    sandbox.faults.add(fault, times=3)
    with pytest.raises(error, match=f"{says}.*the base URL") as caught:
        make_client(tries=2).agents()
    assert "its shape is https://api.talkpilot.io/v1" in str(caught.value)
    assert "\n" not in str(caught.value)
    client = make_client(tries=2)
    assert len(client.agents()) == 1
    assert client.requests["agents"] == 2


def test_nobody_listens(make_client: MakeClient) -> None:
    with held_port() as port:
        client = make_client(base_url=f"http://127.0.0.1:{port}", tries=2)
        with pytest.raises(errors.ConnectionFailedError, match="Check the network and the base"):
            client.agents()
    assert client.requests["agents"] == 2


def test_time_out(make_client: MakeClient) -> None:
    with Sandbox(agents=1) as other:  # of its own: the response comes late, when another test runs
        other.faults.add("slow", seconds=30)
        client = make_client(other.base_url, other.api_key, timeout=2)
        assert len(client.agents()) == 1
    assert client.requests["agents"] == 2


def test_redirect_to_another_host_never_sees_the_key(
    sandbox: Sandbox, make_client: MakeClient
) -> None:
    with RawServer(b'{"data":[],"pagination":{"total":0}}') as other:
        sandbox.faults.add("redirect", status=308, location=f"{other.url}/agents")
        with pytest.raises(errors.UnexpectedResponseError, match="its own host only") as caught:
            make_client().agents()
        assert other.url.removesuffix("/v1") in str(caught.value)
        assert other.seen == []
    assert sandbox.counters["agents"] == 1


def test_redirects_in_a_circle_end(make_client: MakeClient) -> None:
    with RawServer(b"", 302, {"Location": "/v1/agents"}) as other:
        with pytest.raises(errors.UnexpectedResponseError, match="redirects again and again"):
            make_client(base_url=other.url).agents()
        assert len(other.seen) == 4


def test_a_long_and_strange_message_becomes_one_short_line(make_client: MakeClient) -> None:
    key = "tp_live_" + "a" * 32
    message = f"Key {key}\nis\r\nbad " + "x" * 10_000
    body = json.dumps({"error": {"code": "BAD_REQUEST", "message": message, "details": "?"}})
    with (
        RawServer(body.encode(), 400) as other,
        pytest.raises(errors.BadRequestError, match="Key tp_live_… is bad") as caught,
    ):
        make_client(base_url=other.url).agents()
    assert len(str(caught.value)) < 1000
    assert "\n" not in str(caught.value)


def test_an_error_does_not_repeat_what_was_searched_for(
    make_client: MakeClient, agent: str
) -> None:
    number = "+493023125042"
    body = {
        "code": "VALIDATION_ERROR",
        "message": f"{number} is no number",
        "details": [{"field": "phone_number", "message": f"{number} is wrong"}],
    }
    with RawServer(json.dumps({"error": body}).encode(), 400) as other:
        walk = make_client(base_url=other.url).walk_calls(
            agent, DAY, CallFilters(phone_number=number)
        )
        with pytest.raises(errors.BadRequestError, match="phone_number") as caught:
            next(walk)
    assert number not in str(caught.value)
