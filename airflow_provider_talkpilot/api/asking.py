"""Questions that take several requests, whoever sends them: a thread's client, or an event loop's.

A generator says what to ask, is sent the answer, and returns what it found out. So what to ask is
written once, and without a network in it.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

Found = TypeVar("Found")


@dataclass(frozen=True)
class Ask:
    """One GET.

    :param kind: what the request is counted as.
    :param path: path below the base URL.
    :param params: query parameters.
    """

    kind: str
    path: str
    params: dict[str, str] = field(default_factory=dict)


Asking = Generator[Ask, dict[str, Any], Found]


class Source(Protocol):
    """Who sends the requests: the client."""

    def get(self, kind: str, path: str, params: dict[str, str] | None = None) -> dict[str, Any]:
        """Send one GET below the base URL and return the JSON object."""


class AsyncSource(Protocol):
    """Likewise, in an event loop."""

    async def get(
        self, kind: str, path: str, params: dict[str, str] | None = None
    ) -> dict[str, Any]:
        """Send one GET below the base URL and return the JSON object."""


def answer(source: Source, asking: Asking[Found]) -> Found:
    """Send what is asked, one after the other; give what was found out."""
    try:
        ask = next(asking)
        while True:
            ask = asking.send(source.get(ask.kind, ask.path, ask.params))
    except StopIteration as found:
        result: Found = found.value
        return result


async def answer_async(source: AsyncSource, asking: Asking[Found]) -> Found:
    """As :func:`answer`, in an event loop."""
    try:
        ask = next(asking)
        while True:
            ask = asking.send(await source.get(ask.kind, ask.path, ask.params))
    except StopIteration as found:
        result: Found = found.value
        return result
