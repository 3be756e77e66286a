"""A running sandbox without rate limits, and a client that speaks to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from airflow_provider_talkpilot.sandbox import Sandbox, SandboxSettings


class Api:
    """Short ways to send requests to the sandbox."""

    def __init__(self, sandbox: Sandbox, http: httpx.Client) -> None:
        self.sandbox = sandbox
        self.http = http

    @property
    def agent(self) -> str:
        return self.sandbox.store.agent_ids[0]

    def get(self, path: str, key: str | None = "", **query: Any) -> httpx.Response:
        """GET below the base URL; ``key`` is the sandbox's own unless given, None sends none."""
        headers = {} if key is None else {"X-API-Key": key or self.sandbox.api_key}
        url = f"{self.sandbox.base_url}{path}"
        return self.http.get(url, params=query or None, headers=headers)

    def calls(self, agent: str | None = None, **query: Any) -> httpx.Response:
        if "from_" in query:
            query["from"] = query.pop("from_")
        return self.get(f"/agents/{agent or self.agent}/calls", **query)

    def rows(self, agent: str | None = None, **query: Any) -> list[dict[str, Any]]:
        """All calls of an agent that its list has."""
        return self._pages(lambda page: self.calls(agent, limit=100, page=page, **query))

    def records(self) -> list[dict[str, Any]]:
        """All performance records of the first agent."""
        path = f"/agents/{self.agent}/performance"
        return self._pages(lambda page: self.get(path, limit=25, page=page))

    @staticmethod
    def _pages(get: Callable[[int], httpx.Response]) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = []
        for page in range(1, 1000):
            body = get(page).json()
            rows += body["data"]
            if page >= body["pagination"]["pages"]:
                return rows
        raise AssertionError("the list does not end")

    def detail(self, call_id: str, agent: str | None = None) -> httpx.Response:
        return self.get(f"/agents/{agent or self.agent}/calls/{call_id}")

    def truth(self, agent: str | None = None) -> list[dict[str, Any]]:
        """All calls of an agent."""
        return self.sandbox.store.truth("2000-01-01", "2100-01-01", [agent or self.agent])


@pytest.fixture
def sandbox(shared_sandbox: Sandbox) -> Sandbox:
    """As good as a new one: default settings but no rate limits, fresh data."""
    settings = SandboxSettings(
        days=2, calls_per_day=60, requests_per_minute=None, requests_per_hour=None
    )
    shared_sandbox.reset(**settings.model_dump())
    return shared_sandbox


@pytest.fixture(scope="module")
def http() -> Iterator[httpx.Client]:
    with httpx.Client(timeout=10, trust_env=False) as client:
        yield client


@pytest.fixture
def api(sandbox: Sandbox, http: httpx.Client) -> Api:
    return Api(sandbox, http)
