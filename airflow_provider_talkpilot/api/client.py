"""A client of the TalkPilot API: health, agents, calls and their details.

Usable without Airflow::

    from airflow_provider_talkpilot.api import Interval, TalkPilotClient

    with TalkPilotClient(base_url, api_key) as client:
        for agent in client.agents():
            for page in client.walk_calls(agent.id, Interval.parse("2026-03-18", "2026-03-19")):
                for call in page.records:
                    print(call.created_at, client.call(agent.id, call.id).final_score)
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import partial
from typing import Any, Self

import httpx
import tenacity

from airflow_provider_talkpilot.api.exchange import Request, run
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
from airflow_provider_talkpilot.api.prefetch import Prefetch
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

# At most this many pages of a list are in flight.
PREFETCHED_PAGES = 8


class TalkPilotClient(BaseClient):
    """A client that blocks. Thread-safe; use as a context manager.

    Its arguments are those of :class:`BaseClient`.
    """

    def _set_up(self) -> None:
        self._retrying = tenacity.Retrying(
            sleep=tenacity.sleep_using_event(self.quota.closed), **self._retries
        )
        # httpx's pool of connections races between threads (github.com/encode/httpcore#1110). So
        # each httpx.Client sends one request at a time. Appending and popping are atomic.
        self._idle = [self._new()]
        self._is_closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections, and write to the ledger what was spent."""
        self._is_closed = True
        self._close_idle()
        self.quota.sync_ledger(is_last=True)

    def health(self) -> Health:
        """Fetch the API's health; needs no valid key."""
        return run(self.fetch, self._health())

    def agents(self) -> list[Agent]:
        """Fetch every agent that the key can see (``agents:read``), in the API's order.

        :raises WalkMovedError: when the list changed during each of three walks.
        """
        return run(self.fetch, list_agents())

    def walk_calls(
        self, agent_id: str, interval: Interval, filters: CallFilters | None = None
    ) -> Iterator[RecordPage[Call]]:
        """Walk an agent's calls of an interval (``calls:read``), soft-deleted ones included.

        Lazy: the client requests the first page when the caller reads it, and prefetches a few
        pages from then on. Only a walk that ends without an error was whole. If it raises an error,
        discard the pages that came before.

        :param interval: which calls, by ``created_at``.
        :param filters: select among the calls of the interval.
        :return: an iterator of pages of at most 100 calls, newest first.
        :raises WalkMovedError: when the list changed while it was read.
        """
        return self._pages(call_walk(agent_id, interval, filters))

    def walk_performance(
        self, agent_id: str, interval: Interval
    ) -> Iterator[RecordPage[PerformanceRecord]]:
        """Walk an agent's performance records of an interval (``performance:read``).

        As :meth:`walk_calls`; 100 records a request.

        :raises PermissionDeniedError: when the key may not read them.
        :raises NotFoundError: when the API has no such list, as in spring 2026.
        """
        return self._pages(performance_walk(agent_id, interval))

    def _pages(self, walk: IntervalWalk[Record]) -> Iterator[RecordPage[Record]]:
        yield walk.read_page(self.fetch(walk.request()))
        with Prefetch(self.quota, self.fetch, walk.further_requests(), PREFETCHED_PAGES) as bodies:
            for body in bodies:
                yield walk.read_page(body)
        walk.require_whole()

    def call(self, agent_id: str, call_id: str, permit: Permit | None = None) -> CallDetail:
        """Fetch one call with its detail fields (``calls:read``).

        :param permit: the quota's permit for the request, if the caller has acquired it.
        :raises NotFoundError: when the call was erased, or the key cannot see the agent.
        :raises InvalidRecordError: when the response does not fit :class:`CallDetail`.
        """
        return run(partial(self.fetch, permit=permit), self._call(agent_id, call_id))

    def fetch(self, request: Request, permit: Permit | None = None) -> dict[str, Any]:
        """Send a request within the quota; send it again if the network or the server fails.

        :param permit: the quota's permit for the first attempt, if the caller has acquired it.
        :return: the response's JSON object.
        :raises TalkPilotError: the typed error of what went wrong.
        """
        permits = iter([permit] if permit else [])
        return self._retrying(lambda: self._fetch_once(request, next(permits, None)))

    def _fetch_once(self, request: Request, permit: Permit | None) -> dict[str, Any]:
        url, sent = request.url(self.base_url), Counter[str]()
        while True:
            permit = permit or self.quota.acquire()
            with self._sending(request, permit):
                response = self._send(url)
            next_url, permit = self._next_url(url, permit, response, sent), None
            if next_url is None:
                return read_object(response)
            url = next_url

    def _send(self, url: str) -> httpx.Response:
        try:
            client = self._idle.pop()
        except IndexError:
            client = self._new()
        try:
            return client.get(url)
        finally:
            self._idle.append(client)
            if self._is_closed:
                self._close_idle()

    def _new(self) -> httpx.Client:
        return transport.make_client(httpx.Client, self._options)

    def _close_idle(self) -> None:
        while self._idle:
            self._idle.pop().close()
