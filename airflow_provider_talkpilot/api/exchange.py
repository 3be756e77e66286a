"""Requests, and work that needs several of them, written once for both clients.

The client for threads and the client for event loops do the same work: they read page after page
and check what came. Only the way they wait differs. So this work is written as generators, called
*exchanges*. An exchange yields a request, receives the response or the error, and goes on.
It sends nothing itself; :func:`run` and :func:`run_async` do that with a client's ``fetch``::

    def count_agents() -> Exchange[int]:
        body = yield Request("agents", "agents", {"limit": "1"})
        return body["pagination"]["total"]


    number = run(client.fetch, count_agents())
    number = await run_async(async_client.fetch, count_agents())

An exchange uses another one with ``yield from``.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import urlencode

from airflow_provider_talkpilot.api.errors import TalkPilotError

Result = TypeVar("Result")


@dataclass(frozen=True)
class Request:
    """One GET.

    :param kind: the name under which the request is counted, such as ``agents`` or ``detail``.
    :param path: the path below the base URL, without a slash at its start.
    :param params: the query; it can hold a caller's number.
    """

    kind: str
    path: str
    params: dict[str, str] = field(default_factory=dict, repr=False)

    def url(self, base_url: str) -> str:
        return f"{base_url}/{self.path}" + (f"?{urlencode(self.params)}" if self.params else "")


Exchange = Generator[Request, dict[str, Any], Result]
"""Yields requests, receives the JSON object of each response, and returns a result."""


def run(fetch: Callable[[Request], dict[str, Any]], exchange: Exchange[Result]) -> Result:
    """Run an exchange to its end.

    :param fetch: sends a request, and returns the JSON object of the response.
    :return: what the exchange returns.
    """
    try:
        request = next(exchange)
        while True:
            try:
                response = fetch(request)
            except TalkPilotError as error:
                request = exchange.throw(error)
            else:
                request = exchange.send(response)
    except StopIteration as stop:
        result: Result = stop.value
        return result


async def run_async(
    fetch: Callable[[Request], Awaitable[dict[str, Any]]], exchange: Exchange[Result]
) -> Result:
    """As :func:`run`, in an event loop."""
    try:
        request = next(exchange)
        while True:
            try:
                response = await fetch(request)
            except TalkPilotError as error:
                request = exchange.throw(error)
            else:
                request = exchange.send(response)
    except StopIteration as stop:
        result: Result = stop.value
        return result
