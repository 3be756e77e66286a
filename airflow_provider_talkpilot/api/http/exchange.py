"""Requests, and work that takes several of them, for a thread's client and an event loop's."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import urlencode

Result = TypeVar("Result")


@dataclass(frozen=True)
class Request:
    """One GET.

    :param kind: what the request is counted as.
    :param path: below the base URL.
    :param params: query parameters; they can hold a caller's number.
    """

    kind: str
    path: str
    params: dict[str, str] = field(default_factory=dict, repr=False)

    def url(self, base_url: str) -> str:
        return f"{base_url}/{self.path}" + (f"?{urlencode(self.params)}" if self.params else "")


Exchange = Generator[Request, dict[str, Any], Result]
"""Yields requests, is sent the JSON object of each response, and returns a result."""


def run(fetch: Callable[[Request], dict[str, Any]], exchange: Exchange[Result]) -> Result:
    """Send the requests of an exchange with a client's ``fetch``; give what it returns."""
    try:
        request = next(exchange)
        while True:
            request = exchange.send(fetch(request))
    except StopIteration as stop:
        result: Result = stop.value
        return result


async def run_async(
    fetch: Callable[[Request], Awaitable[dict[str, Any]]], exchange: Exchange[Result]
) -> Result:
    """Send the requests of an exchange in an event loop; as :func:`run`."""
    try:
        request = next(exchange)
        while True:
            request = exchange.send(await fetch(request))
    except StopIteration as stop:
        result: Result = stop.value
        return result
