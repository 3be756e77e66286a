"""A running sandbox, and clients that speak to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from airflow_provider_talkpilot.api import Interval, Quota, TalkPilotClient
from airflow_provider_talkpilot.sandbox import Sandbox, SandboxSettings
from airflow_provider_talkpilot.sandbox.eras import Era

DAY = Interval.parse("2026-03-16", "2026-03-17")

MakeClient = Callable[..., TalkPilotClient]


def unlimited_quota() -> Quota:
    """The quota of a server without limits, as three responses showed."""
    quota = Quota(max_wait=10)
    for _ in range(3):
        quota.record_response(quota.acquire(), {})
    return quota


@pytest.fixture
def sandbox(shared_sandbox: Sandbox, era: Era) -> Sandbox:
    """As good as a new one: two days of 250 calls of one agent, and no rate limits."""
    settings = SandboxSettings(
        era=era,
        days=2,
        calls_per_day=250,
        agents=1,
        requests_per_minute=None,
        requests_per_hour=None,
    )
    shared_sandbox.reset(**settings.model_dump())
    return shared_sandbox


@pytest.fixture
def make_client(sandbox: Sandbox) -> Iterator[MakeClient]:
    """Makes clients that try again at once, and closes them."""
    made: list[TalkPilotClient] = []

    def make(base_url: str = "", api_key: str = "", **options: Any) -> TalkPilotClient:
        client = TalkPilotClient(
            base_url or sandbox.base_url, api_key or sandbox.api_key, backoff=0, **options
        )
        made.append(client)
        return client

    yield make
    for client in made:
        client.close()


@pytest.fixture
def client(make_client: MakeClient) -> TalkPilotClient:
    return make_client()


@pytest.fixture
def agent(sandbox: Sandbox) -> str:
    return sandbox.store.agent_ids[0]
