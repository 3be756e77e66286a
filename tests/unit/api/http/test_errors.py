"""Each thing that can go wrong is an error of its own type, whose message says what to do."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_talkpilot.api import errors
from airflow_provider_talkpilot.sandbox import Sandbox
from tests.support.ports import held_port
from tests.unit.api.conftest import MakeClient
from tests.unit.api.raw_server import RawServer


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
