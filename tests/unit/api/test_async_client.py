"""The client for event loops does what the threads' client does, and blocks nothing."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_talkpilot.api import AsyncTalkPilotClient, TalkPilotClient
from airflow_provider_talkpilot.api.errors import (
    ConnectionFailedError,
    TalkPilotError,
)
from airflow_provider_talkpilot.api.exchange import Request
from airflow_provider_talkpilot.sandbox import Sandbox
from tests.support.windows import long_window
from tests.unit.api.conftest import DAY, MakeClient
from tests.unit.api.raw_server import RawServer

AGENTS = Request("agents", "agents", {"limit": "1"})


def get(sandbox: Sandbox, *, base_url: str = "", **options: Any) -> dict[str, Any]:
    """Fetch the agents."""

    async def fetch() -> dict[str, Any]:
        url = base_url or sandbox.base_url
        async with AsyncTalkPilotClient(url, sandbox.api_key, backoff=0, **options) as client:
            return await client.fetch(AGENTS)

    return asyncio.run(fetch())


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ({"fault": "status", "status": 500}, None),
        ({"fault": "bad_json"}, None),
        ({"fault": "cut"}, ConnectionFailedError),
        ({"fault": "redirect", "location": "https://example.com/"}, None),
        ({"fault": "rate_limited", "retry_after": 0}, None),
    ],
    ids=str,
)
def test_trouble_is_told_as_by_the_threads_client(
    sandbox: Sandbox,
    make_client: MakeClient,
    monkeypatch: pytest.MonkeyPatch,
    fault: dict[str, Any],
    kind: type[TalkPilotError] | None,
) -> None:
    monkeypatch.setattr("airflow_provider_talkpilot.api.quota.quota.RETRY_AFTER_FLOOR", 0.001)
    monkeypatch.setattr("airflow_provider_talkpilot.api.quota.quota.JITTER", 0.001)
    raised = []
    in_a_thread = make_client(tries=2)
    fetches: list[Callable[[], Any]] = [
        lambda: get(sandbox, tries=2),
        lambda: in_a_thread.fetch(AGENTS),
    ]
    for fetch in fetches:
        sandbox.reset_counters()
        sandbox.faults.clear()
        sandbox.faults.add(**fault, times=50)
        with pytest.raises(TalkPilotError) as caught:
            fetch()
        # A request id is never the same twice.
        said = str(caught.value).partition("Request id")[0] if kind is None else ""
        raised.append((kind or type(caught.value), said, sandbox.counters["agents"]))
        assert kind is None or isinstance(caught.value, kind)
        assert sandbox.api_key not in str(caught.value)
    assert raised[0] == raised[1]


def test_a_minute_that_is_used_up_costs_no_refusal(sandbox: Sandbox) -> None:
    window = long_window()
    sandbox.settings.patch(requests_per_minute=3, minute_seconds=window)

    async def fetch() -> None:
        async with AsyncTalkPilotClient(sandbox.base_url, sandbox.api_key) as client:
            for _ in range(3):
                await client.fetch(AGENTS)
            async with asyncio.timeout(0.2):
                await client.fetch(AGENTS)

    with pytest.raises(TimeoutError):
        asyncio.run(fetch())
    assert sandbox.counters["agents"] == 3
    assert sandbox.counters["refused"] == 0


def test_the_event_loop_goes_on_while_a_request_is_out(sandbox: Sandbox) -> None:
    """The server responds when the same event loop says so: were it blocked, it never would."""
    arrived, go_on = threading.Event(), threading.Event()

    def hold(kind: str, count: int) -> None:
        arrived.set()
        assert go_on.wait(20), "the event loop was blocked"

    async def both() -> None:
        async def release() -> None:
            await asyncio.to_thread(arrived.wait, 20)
            go_on.set()

        async with AsyncTalkPilotClient(sandbox.base_url, sandbox.api_key) as client:
            await asyncio.gather(client.fetch(AGENTS), release())

    sandbox.before_request = hold
    asyncio.run(both())


def test_it_reads_what_the_threads_client_reads(
    sandbox: Sandbox, client: TalkPilotClient, agent: str
) -> None:
    async def read() -> tuple[Any, ...]:
        async with AsyncTalkPilotClient(sandbox.base_url, sandbox.api_key) as other:
            pages = [page async for page in other.walk_calls(agent, DAY)]
            call = pages[-1].records[-1]
            detail = await other.call(agent, call.id)
            return await other.health(), await other.agents(), pages, detail, other.requests

    health, agents, pages, detail, requests = asyncio.run(read())
    assert health.status == client.health().status
    assert agents == client.agents()
    assert pages == list(client.walk_calls(agent, DAY))
    assert detail == client.call(agent, detail.id)
    client.requests.subtract(requests)
    assert not client.requests.total(), "at as many requests"


def test_a_body_that_cannot_be_decoded(sandbox: Sandbox) -> None:
    with (
        RawServer(b"no gzip", headers={"Content-Encoding": "gzip"}) as server,
        pytest.raises(TalkPilotError, match="cannot be decoded"),
    ):
        get(sandbox, base_url=server.url, tries=1)
