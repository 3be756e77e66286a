"""Requests, and work that takes several of them, for a thread's client and an event loop's."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar
from urllib.parse import urlencode

Result = TypeVar("Result")


@dataclass(frozen=True)
class Request:
    """One GET.

    :param kind: what the request is counted as.
    :param path: path below the base URL.
    :param params: query parameters; they can hold a caller's number.
    """

    kind: str
    path: str
    params: dict[str, str] = field(default_factory=dict, repr=False)

    def url(self, base_url: str) -> str:
        """Give the whole address."""
        return f"{base_url}/{self.path}" + (f"?{urlencode(self.params)}" if self.params else "")


Exchange = Generator[Request, dict[str, Any], Result]
"""Yields requests, is sent the body of each response, and returns a result."""


class Client(Protocol):
    """A client that blocks."""

    def get(self, kind: str, path: str, params: dict[str, str] | None = None) -> dict[str, Any]:
        """Send one GET below the base URL and return the JSON object."""


class AsyncClient(Protocol):
    """A client of an event loop."""

    async def get(
        self, kind: str, path: str, params: dict[str, str] | None = None
    ) -> dict[str, Any]:
        """Send one GET below the base URL and return the JSON object."""


def run(client: Client, exchange: Exchange[Result]) -> Result:
    """Send the requests of an exchange, one after the other.

    :param client: sends them.
    :param exchange: yields them.
    :return: what the exchange returns.
    """
    try:
        request = next(exchange)
        while True:
            body = client.get(request.kind, request.path, request.params)
            request = exchange.send(body)
    except StopIteration as stop:
        result: Result = stop.value
        return result


async def run_async(client: AsyncClient, exchange: Exchange[Result]) -> Result:
    """Send the requests of an exchange in an event loop; as :func:`run`."""
    try:
        request = next(exchange)
        while True:
            body = await client.get(request.kind, request.path, request.params)
            request = exchange.send(body)
    except StopIteration as stop:
        result: Result = stop.value
        return result
