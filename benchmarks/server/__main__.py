"""A small TalkPilot that belongs to no contestant: rendered responses, and one event loop.

``python -m benchmarks.server --calls-per-day 10000`` prints its address. ``/admin/`` steers it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from collections import Counter
from datetime import UTC, datetime
from typing import cast
from urllib.parse import parse_qsl, urlsplit

import uvloop

from benchmarks.server.data import Calls, agent_id
from benchmarks.server.limits import Window

_JSON = b"Content-Type: application/json\r\n"
_NOT_FOUND = b'{"error":{"code":"NOT_FOUND","message":"no such thing","request_id":"req_0"}}'
_LIMITED = b'{"error":{"code":"RATE_LIMITED","message":"too many","request_id":"req_0"}}'
_NO_KEY = b'{"error":{"code":"UNAUTHORIZED","message":"no key","request_id":"req_0"}}'
_REASONS = {200: "OK", 401: "Unauthorized", 404: "Not Found", 429: "Too Many Requests"}


class TalkPilot:
    """The API's data, and the counts of requests."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.calls = {
            agent_id(number): Calls(
                number, options.days, options.calls_per_day, options.on_midnights
            )
            for number in range(options.agents)
        }
        for calls in self.calls.values() if options.details else ():
            calls.render_all()
        agents = [{"id": one, "name": f"Agent {one[-2:]}", "is_active": True} for one in self.calls]
        told = {"page": 1, "limit": 100, "total": len(agents), "pages": 1}
        self._agents = json.dumps({"data": agents, "pagination": told}).encode()
        self.reset()

    def reset(self) -> None:
        """Reset the counts."""
        self.requested = Counter[str]()
        self.details = Counter[str]()
        self.window = Window(self.options.per_minute, self.options.minute_seconds)

    def respond(self, target: str, key: str) -> tuple[int, bytes, bytes]:
        """Return status, headers and body for a request."""
        address = urlsplit(target)
        words = address.path.strip("/").split("/")
        query = dict(parse_qsl(address.query))
        if words[0] == "admin":
            return 200, b"", json.dumps(self._admin(words[1], query)).encode()
        if key != self.options.key:
            return 401, b"", _NO_KEY
        headers, wait = self.window.count()
        if wait is not None:
            return 429, headers, _LIMITED
        body = self._read(words[1:], query)
        return (404, headers, _NOT_FOUND) if body is None else (200, headers, body)

    def _read(self, words: list[str], query: dict[str, str]) -> bytes | None:
        match words:
            case ["agents"]:
                self.requested["agents"] += 1
                return self._agents
            case ["agents", agent, "calls"] if agent in self.calls:
                self.requested["calls"] += 1
                return self.calls[agent].page(
                    int(query.get("page", 1)),
                    min(100, int(query.get("limit", 20))),
                    _moment(query.get("from")),
                    _moment(query.get("to")),
                    self.options.bounds == "inclusive",
                )
            case ["agents", agent, "calls", call] if agent in self.calls:
                self.requested["detail"] += 1
                self.details[call] += 1
                return self.calls[agent].detail(call)
        return None

    def _admin(self, word: str, query: dict[str, str]) -> object:
        if word == "reset":
            self.reset()
        elif word in ("purge", "erase"):
            for calls in self.calls.values():
                getattr(calls, word)(query["id"])
        elif word == "ids":
            start, end = _moment(query["from"]), _moment(query["to"])
            assert start
            assert end
            return [one for calls in self.calls.values() for one in calls.ids_between(start, end)]
        elif word == "counts":
            return {
                **dict.fromkeys(("agents", "calls", "detail"), 0),
                **self.requested,
                "refused": sum(self.window.refused.values()),
                "twice": sum(times - 1 for times in self.details.values()),
                "share": self.window.share() if self.window.served else 0.0,
            }
        return {}


class Connection(asyncio.Protocol):
    """One connection: requests without a body, one after the other."""

    def __init__(self, talkpilot: TalkPilot, latency: float) -> None:
        self._talkpilot, self._latency = talkpilot, latency
        self._buffer = b""
        self._loop = asyncio.get_running_loop()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport for responses."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Respond to complete requests."""
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head, self._buffer = self._buffer[:end].decode("latin-1"), self._buffer[end + 4 :]
            self._request(head)

    def _request(self, head: str) -> None:
        first, _, rest = head.partition("\r\n")
        _, target, _ = first.split(" ", 2)
        key = ""
        for line in rest.split("\r\n"):
            if line[:10].lower() == "x-api-key:":
                key = line[10:].strip()
        status, headers, body = self._talkpilot.respond(target, key)
        start = f"HTTP/1.1 {status} {_REASONS[status]}\r\nContent-Length: {len(body)}\r\n"
        whole = start.encode() + _JSON + headers + b"\r\n" + body
        if self._latency and not target.startswith("/admin"):
            self._loop.call_later(self._latency, self._send, whole)
        else:
            self._send(whole)

    def _send(self, whole: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(whole)


def _moment(text: str | None) -> datetime | None:
    if text is None:
        return None
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.server")
    parser.add_argument("--key", default="tp_live_" + "0" * 32)
    parser.add_argument("--agents", type=int, default=1)
    parser.add_argument("--days", type=int, default=1)
    parser.add_argument("--calls-per-day", type=int, default=100)
    parser.add_argument("--on-midnights", type=int, default=0)
    parser.add_argument("--details", action="store_true", help="render details at the start")
    parser.add_argument("--latency", type=float, default=0.0, help="seconds before every response")
    parser.add_argument("--per-minute", type=int, default=None)
    parser.add_argument("--minute-seconds", type=int, default=60)
    parser.add_argument("--bounds", choices=("exclusive", "inclusive"), default="exclusive")
    return parser.parse_args()


async def serve(options: argparse.Namespace) -> None:
    """Serve until the process ends."""
    talkpilot = TalkPilot(options)
    server = await asyncio.get_running_loop().create_server(
        lambda: Connection(talkpilot, options.latency), "127.0.0.1", 0, backlog=256
    )
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(_options()))
