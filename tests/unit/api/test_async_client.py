"""The client for event loops does what the client for threads does, and blocks nothing."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from airflow_provider_talkpilot.api import AsyncTalkPilotClient, TalkPilotClient, errors
from airflow_provider_talkpilot.api.exchange import Request
from airflow_provider_talkpilot.sandbox import Sandbox
from tests.support.windows import long_window
from tests.unit.api.conftest import DAY
from tests.unit.api.raw_server import RawServer

URL = "https://example.com/"
AGENTS = Request("agents", "agents", {"limit": "1"})


def get(sandbox: Sandbox, *, base_url: str = "", **options: Any) -> dict[str, Any]:
    """Fetch the agents."""

    async def fetch() -> dict[str, Any]:
        url = base_url or sandbox.base_url
        async with AsyncTalkPilotClient(url, sandbox.api_key, backoff=0, **options) as client:
            return await client.fetch(AGENTS)

    return asyncio.run(fetch())


@pytest.mark.parametrize(
    ("fault", "error", "cure", "requests"),
    [
        ({"fault": "status", "status": 500}, errors.ServerError, "may work later", 2),
        ({"fault": "bad_json"}, errors.UnreadableResponseError, "was cut", 2),
        ({"fault": "cut"}, errors.ConnectionFailedError, "Check the network", 2),
        ({"fault": "redirect", "location": URL}, errors.UnexpectedResponseError, "own host", 1),
        ({"fault": "rate_limited"}, errors.RateLimitedError, "larger part of the quota", 10),
    ],
    ids=str,
)
def test_faults_are_the_errors_of_the_threads_client_after_as_many_requests(
    sandbox: Sandbox,
    monkeypatch: pytest.MonkeyPatch,
    fault: dict[str, Any],
    error: type[errors.TalkPilotError],
    cure: str,
    requests: int,
) -> None:
    monkeypatch.setattr("airflow_provider_talkpilot.api.quota.quota.RETRY_AFTER_FLOOR", 0.001)
    monkeypatch.setattr("airflow_provider_talkpilot.api.quota.quota.JITTER", 0.001)
    sandbox.faults.add(**fault, times=50, retry_after=0)
    with pytest.raises(error, match=cure) as caught:
        get(sandbox, tries=2)
    assert sandbox.counters["agents"] == requests
    assert sandbox.api_key not in str(caught.value)


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
    """The server responds only after the same event loop has run other work."""
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

    sandbox.state.before_request = hold
    asyncio.run(both())


def test_it_reads_what_the_threads_client_reads(
    sandbox: Sandbox, client: TalkPilotClient, agent: str
) -> None:
    async def read() -> tuple[Any, ...]:
        async with AsyncTalkPilotClient(sandbox.base_url, sandbox.api_key) as other:
            pages: list[Any] = [page async for page in other.walk_calls(agent, DAY)]
            call = pages[-1].records[-1]
            pages += [page async for page in other.walk_performance(agent, DAY)]
            detail = await other.call(agent, call.id)
            return await other.health(), await other.agents(), pages, detail, other.requests

    health, agents, pages, detail, requests = asyncio.run(read())
    assert health.status == client.health().status
    assert agents == client.agents()
    assert pages == [*client.walk_calls(agent, DAY), *client.walk_performance(agent, DAY)]
    assert detail == client.call(agent, detail.id)
    client.requests.subtract(requests)
    assert not client.requests.total(), "at as many requests"


def test_a_body_that_cannot_be_decoded(sandbox: Sandbox) -> None:
    with (
        RawServer(b"no gzip", headers={"Content-Encoding": "gzip"}) as server,
        pytest.raises(errors.UnreadableResponseError, match="cannot be decoded"),
    ):
        get(sandbox, base_url=server.url, tries=1)
