"""What a client accepts and sends, and that no log or text shows keys or callers."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from functools import partial
from typing import Any

import httpx
import pytest

from airflow_provider_talkpilot import __version__
from airflow_provider_talkpilot.api import CallFilters, Quota, Reject, TalkPilotClient, errors
from airflow_provider_talkpilot.sandbox import Sandbox
from tests.unit.api.conftest import DAY, MakeClient
from tests.unit.api.raw_server import RawServer

KEY = "tp_live_0123456789abcdef0123456789ABCDEF"
URL = "https://abc.supabase.co/functions/v1/api/v1"
ID, OTHER_ID = "0d5e8f9e-1f6f-4c9b-9d5e-3a4b5c6d7e8f", "1d5e8f9e-1f6f-4c9b-9d5e-3a4b5c6d7e8f"


@pytest.mark.parametrize("key", [f"{KEY}\n", f"  {KEY}\r\n", KEY.replace("ABCDEF", "abcdef")])
def test_a_key_may_have_spaces_around(key: str, sandbox: Sandbox, make_client: MakeClient) -> None:
    with RawServer(b'{"status":"ok"}') as server:
        assert make_client(base_url=server.url, api_key=key).health().status == "ok"
        assert server.seen[0][1]["x-api-key"] == key.strip()


@pytest.mark.parametrize(
    ("key", "says"),
    [
        ("", "none was given"),
        (f"{KEY}0", "41 characters"),
        (f"tp_test_{KEY[8:]}", "40 characters"),
        (f"{KEY[:-1]}ß", "40 characters"),
        (f"{KEY[:20]}\n{KEY[20:]}", "41 characters"),
    ],
)
def test_a_malformed_key_is_not_repeated(key: str, says: str) -> None:
    with pytest.raises(errors.ConfigurationError, match=f"malformed.*{says}.*password") as caught:
        TalkPilotClient(URL, key)
    assert not key or key not in str(caught.value)


@pytest.mark.parametrize(
    ("create", "option", "value"),
    [
        (partial(TalkPilotClient, URL, KEY), "tries", 0),
        (partial(TalkPilotClient, URL, KEY), "timeout", -1),
        (partial(TalkPilotClient, URL, KEY), "timeout", float("nan")),
        (partial(TalkPilotClient, URL, KEY), "connect_timeout", float("inf")),
        (Quota, "share", 0),
        (Quota, "share", 1.1),
        (Quota, "requests_per_minute", 0),
        (Quota, "requests_per_hour", -1),
    ],
)
def test_options_that_can_never_work(create: Callable[..., Any], option: str, value: Any) -> None:
    with pytest.raises(errors.ConfigurationError, match=f"{option} cannot be used"):
        create(**{option: value})


@pytest.mark.parametrize("wrong", ["", "support", "../agents", f"{{{ID}", KEY, None])
def test_ids_that_are_no_uuid_reach_no_url(client: TalkPilotClient, wrong: Any) -> None:
    for ids in ((wrong, ID), (ID, wrong)):
        with pytest.raises(errors.ConfigurationError, match="is no UUID: copy it") as caught:
            client.call(*ids)
        assert KEY not in str(caught.value)
    with pytest.raises(errors.ConfigurationError, match="is no UUID"):
        client.walk_calls(wrong, DAY)
    assert not client.requests


def test_another_call_than_the_requested_one(make_client: MakeClient) -> None:
    """It must not become a caller's transcript."""
    body = json.dumps({"id": OTHER_ID, "created_at": "2026-03-16T10:00:00Z"}).encode()
    with (
        RawServer(body) as server,
        pytest.raises(errors.InvalidRecordError, match="responded with another call") as caught,
    ):
        make_client(base_url=server.url).call(ID, ID.upper())
    assert caught.value.reason == "id: that of another call"


def test_requests_are_counted_and_name_us(client: TalkPilotClient, sandbox: Sandbox) -> None:
    assert client.health().version == "1.0.0"
    (agent,) = client.agents()
    (call, *_) = next(client.walk_calls(agent.id, DAY)).records
    client.call(agent.id, call.id)
    assert client.requests == {"health": 1, "agents": 1, "calls": 1, "detail": 1}
    assert client.requests == sandbox.counters
    with RawServer(b'{"status":"ok"}') as server:
        with TalkPilotClient(server.url, KEY) as other:
            other.health()
        assert server.seen[0][1]["user-agent"] == f"airflow-provider-talkpilot/{__version__}"


def test_agents_that_move_are_read_again(sandbox: Sandbox, make_client: MakeClient) -> None:
    """One comes, then two go, and the API refuses the page that is no more."""
    sandbox.reset(agents=101, calls_per_day=0, beyond_end=404)
    client = make_client(api_key=sandbox.add_key())

    def move(kind: str, count: int) -> None:
        if count == 2:
            sandbox.store.add_agent()
        elif count == 4:
            sandbox.add_key(allowed_agent_ids=sandbox.store.agent_ids[:100])

    sandbox.state.before_request = move
    assert len({agent.id for agent in client.agents()}) == 100
    assert client.requests["agents"] == 5


def test_closing_the_quota_ends_retries(sandbox: Sandbox, make_client: MakeClient) -> None:
    sandbox.faults.add("status", status=503, times=100)
    client = make_client()
    sandbox.state.before_request = lambda kind, count: client.quota.close()
    with pytest.raises((errors.ServerError, errors.ClosedError)):
        client.agents()
    assert sandbox.counters["agents"] == 1


def test_requests_leave_nothing_in_any_log_at_any_level(
    sandbox: Sandbox, make_client: MakeClient, agent: str, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("", "airflow_provider_talkpilot", "httpx", "httpcore"):
        caplog.set_level(logging.DEBUG, name)
    rows = sandbox.store.truth("2026-03-16", "2026-03-17")
    caller = next(row for row in rows if row["phone_number"] and row["customer_name"])
    filters = CallFilters(phone_number=caller["phone_number"], search=caller["customer_name"])
    client = make_client()
    sandbox.faults.add("rate_limited", kind="agents")
    sandbox.faults.add("status", kind="detail", status=502, body="html")
    client.agents()
    list(client.walk_calls(agent, DAY, filters))
    client.call(agent, caller["id"])
    with pytest.raises(errors.AuthenticationError):
        make_client(api_key=KEY).agents()
    with httpx.Client() as other_software:
        other_software.get(sandbox.base_url)
    assert [record.name for record in caplog.records].count("httpx") == 1
    for hidden in ("/agents", sandbox.api_key, caller["phone_number"]):
        assert hidden not in caplog.text


def test_nothing_shows_a_secret(sandbox: Sandbox, client: TalkPilotClient, agent: str) -> None:
    row = next(r for r in sandbox.store.truth("2026-03-16", "2026-03-17") if r["phone_number"])
    detail = client.call(agent, row["id"])
    page = next(client.walk_calls(agent, DAY))
    page.rejects.append(Reject(row, "duration: wrong"))
    filters = CallFilters(phone_number=row["phone_number"], search=row["customer_name"])
    shown = " ".join(
        text
        for thing in (client, client.quota, detail, page, page.rejects, filters, client.agents())
        for text in (repr(thing), str(thing), f"{thing}")
    )
    shown += repr(list(detail.__repr_args__()))
    assert row["id"] in shown
    for hidden in (sandbox.api_key, row["phone_number"], row["customer_name"], "https://"):
        assert hidden not in shown
