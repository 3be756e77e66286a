"""The client for event loops, such as a triggerer's, which nothing may block."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any, Self

import httpx
import tenacity

from airflow_provider_talkpilot.api.exchange import Request, run_async
from airflow_provider_talkpilot.api.http import transport
from airflow_provider_talkpilot.api.http.base import BaseClient
from airflow_provider_talkpilot.api.http.responses import read_object
from airflow_provider_talkpilot.api.interval import Interval
from airflow_provider_talkpilot.api.models import (
    Agent,
    Call,
    CallDetail,
    Health,
    PerformanceRecord,
)
from airflow_provider_talkpilot.api.quota import Permit
from airflow_provider_talkpilot.api.walk import (
    CallFilters,
    IntervalWalk,
    Record,
    RecordPage,
    call_walk,
    list_agents,
    performance_walk,
)


class AsyncTalkPilotClient(BaseClient):
    """As :class:`TalkPilotClient`, in an event loop; use as an async context manager.

    Create it in a thread, because it reads certificates. Its arguments are those of
    :class:`BaseClient`.
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
        return await run_async(self.fetch, self._health())

    async def agents(self) -> list[Agent]:
        """Fetch every agent that the key can see; as :meth:`TalkPilotClient.agents`."""
        return await run_async(self.fetch, list_agents())

    def walk_calls(
        self, agent_id: str, interval: Interval, filters: CallFilters | None = None
    ) -> AsyncIterator[RecordPage[Call]]:
        """As :meth:`TalkPilotClient.walk_calls`, but it requests one page after the other."""
        return self._pages(call_walk(agent_id, interval, filters))

    def walk_performance(
        self, agent_id: str, interval: Interval
    ) -> AsyncIterator[RecordPage[PerformanceRecord]]:
        """As :meth:`TalkPilotClient.walk_performance`, one page after the other."""
        return self._pages(performance_walk(agent_id, interval))

    async def _pages(self, walk: IntervalWalk[Record]) -> AsyncIterator[RecordPage[Record]]:
        yield walk.read_page(await self.fetch(walk.request()))
        for request in walk.further_requests():
            yield walk.read_page(await self.fetch(request))
        walk.require_whole()

    async def call(self, agent_id: str, call_id: str) -> CallDetail:
        """Fetch one call with its detail fields; as :meth:`TalkPilotClient.call`."""
        return await run_async(self.fetch, self._call(agent_id, call_id))

    async def fetch(self, request: Request) -> dict[str, Any]:
        """Send a request; as :meth:`TalkPilotClient.fetch`."""
        return await self._retrying(self._fetch_once, request)

    async def _fetch_once(self, request: Request) -> dict[str, Any]:
        url, sent = request.url(self.base_url), Counter[str]()
        while True:
            permit = self.quota.try_acquire()
            while not isinstance(permit, Permit):
                await asyncio.sleep(permit)
                permit = self.quota.try_acquire()
            with self._sending(request, permit):
                response = await self._http.get(url)
            next_url = self._next_url(url, permit, response, sent)
            if next_url is None:
                return read_object(response)
            url = next_url
