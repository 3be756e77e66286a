"""The client for event loops: a triggerer's, where nothing may block."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Self

import httpx
import tenacity

from airflow_provider_talkpilot.api.http import transport
from airflow_provider_talkpilot.api.http.base import HEALTH, Attempts, BaseClient
from airflow_provider_talkpilot.api.interval import Interval
from airflow_provider_talkpilot.api.models import Agent, CallDetail, Health
from airflow_provider_talkpilot.api.quota import Permit
from airflow_provider_talkpilot.api.walk import (
    CallFilters,
    CallPage,
    CallWalk,
    Request,
    list_agents,
    run_async,
)


class AsyncTalkPilotClient(BaseClient):
    """As :class:`TalkPilotClient`, in an event loop; use as an async context manager.

    Make it in a thread, for it reads certificates. Its arguments are those of :class:`BaseClient`.
    """

    def _set_up(self) -> None:
        self._http = transport.make_client(httpx.AsyncClient, self._options)
        self._retrying = tenacity.AsyncRetrying(**self._retries)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def health(self) -> Health:
        """Fetch the API's health; needs no valid key."""
        return self._read(Health, HEALTH, await self.fetch(HEALTH))

    async def agents(self) -> list[Agent]:
        """List every agent that the key can see; as :meth:`TalkPilotClient.agents`."""
        return await run_async(self.fetch, list_agents())

    async def walk_calls(
        self, agent_id: str, interval: Interval, filters: CallFilters | None = None
    ) -> AsyncIterator[CallPage]:
        """As :meth:`TalkPilotClient.walk_calls`; no page is requested before it is consumed."""
        walk = CallWalk(agent_id, interval, filters)
        yield walk.page(await self.fetch(walk.request()))
        for request in walk.further_requests():
            yield walk.page(await self.fetch(request))
        walk.require_whole()

    async def call(self, agent_id: str, call_id: str) -> CallDetail:
        """Fetch one call with its detail fields; as :meth:`TalkPilotClient.call`."""
        request = self._detail_request(agent_id, call_id)
        return self._read_detail(request, agent_id, await self.fetch(request))

    async def fetch(self, request: Request) -> dict[str, Any]:
        """Send a request; as :meth:`TalkPilotClient.fetch`."""
        body: dict[str, Any] = await self._retrying(self._exchange, request)
        return body

    async def _exchange(self, request: Request) -> dict[str, Any]:
        attempts = Attempts(request.url(self.base_url))
        while True:
            permit = await self._acquire()
            with self._sending(request, permit):
                response = await self._http.get(attempts.url)
            body = self._receive(attempts, permit, response)
            if body is not None:
                return body

    async def _acquire(self) -> Permit:
        while True:
            permit = self.quota.try_acquire()
            if isinstance(permit, Permit):
                return permit
            await asyncio.sleep(permit)
