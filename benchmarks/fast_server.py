"""A TalkPilot that costs next to nothing: every row is made from its number when it is requested.

``python -m benchmarks.fast_server CALLS AGENTS DAYS`` prints its address and serves until it is
ended. No key is checked, nothing changes, there are no limits.
"""

from __future__ import annotations

import json
import re
import sys
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

FIRST = datetime(2026, 1, 1, tzinfo=UTC)
_ROW = (
    '{"id":"%s","agent_id":"%s","created_at":"%s","updated_at":"%s","deleted_at":null,'
    '"call_id":"SCL_%d","customer_name":"Caller %d","customer_request":"Wants to know when the '
    'order arrives","phone_number":"+49 30 %08d","call_summary":"%s","employee":null,'
    '"note":"","duration":%d,"done":true,"general_success":true,'
    '"disconnection_reason":"user_hangup","is_purged":false%s}'
)
_SUMMARY = "The caller called about an order and was told the day on which it arrives. " * 4
_DETAIL = ',"transcript":"[]","audio_file_url":null,"final_score":7'


class Calls:
    """Calls of agents, evenly through some days.

    :param calls: of all agents.
    :param agents: how many.
    :param days: on how many days, from the first of 2026.
    """

    def __init__(self, calls: int, agents: int, days: int) -> None:
        self.agents, self.each = agents, calls // agents
        self._step = timedelta(days=days) / self.each

    def page(self, agent: int, query: dict[str, list[str]]) -> str:
        """Return a page of an agent's calls, newest first."""
        bounds = (datetime.fromisoformat(query[name][0]) for name in ("from", "to"))
        low, high = (self._first_from(agent, bound) for bound in bounds)
        page, limit = (int(query.get(name, ["1"])[0]) for name in ("page", "limit"))
        newest = high - 1 - (page - 1) * limit
        rows = (self.row(agent, n) for n in range(newest, max(low - 1, newest - limit), -1))
        total = max(0, high - low)
        return _enveloped(",".join(rows), total, page, limit)

    def row(self, agent: int, number: int, more: str = "") -> str:
        """Return a call of an agent."""
        overall = agent * self.each + number
        # Agents differ by a millisecond, so that a call has a moment of its own.
        created_at = FIRST + self._step * number + timedelta(milliseconds=agent)
        created, updated = (
            f"{moment.isoformat(timespec='milliseconds')[:23]}Z"
            for moment in (created_at, created_at + timedelta(minutes=10))
        )
        return _ROW % (
            uuid(1, overall),
            uuid(0, agent),
            created,
            updated,
            overall,
            overall,
            overall,
            _SUMMARY,
            number % 600,
            more,
        )

    def _first_from(self, agent: int, moment: datetime) -> int:
        """Return the number of an agent's first call at or after a moment."""
        since = moment - FIRST - timedelta(milliseconds=agent)
        return max(0, min(self.each, -(-since // self._step)))


class Server(ThreadingHTTPServer):
    """An HTTP server with the calls."""

    daemon_threads = True

    def __init__(self, calls: Calls) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.calls = calls


class Handler(BaseHTTPRequestHandler):
    """Responds to the provider."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Server

    def do_GET(self) -> None:
        """Respond."""
        parts = urlsplit(self.path)
        query, calls = parse_qs(parts.query), self.server.calls
        ids = [int(text.replace("-", "")[-16:], 16) for text in re.findall(r"[\w-]{36}", self.path)]
        if not ids:
            page, limit = int(query["page"][0]), int(query["limit"][0])
            numbers = range((page - 1) * limit, min(page * limit, calls.agents))
            rows = ",".join(json.dumps({"id": uuid(0, n), "name": f"Agent {n}"}) for n in numbers)
            text = _enveloped(rows, calls.agents, page, limit)
        elif len(ids) == 1:
            text = calls.page(ids[0] & _NUMBER, query)
        else:
            agent = ids[0] & _NUMBER
            text = calls.row(agent, (ids[1] & _NUMBER) - agent * calls.each, _DETAIL)
        body = text.encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Log nothing."""


_NUMBER = (1 << 48) - 1


def uuid(kind: int, number: int) -> str:
    """Return the id of an agent (kind 0) or a call (1)."""
    return f"00000000-0000-4000-800{kind}-{number:012x}"


def _enveloped(rows: str, total: int, page: int, limit: int) -> str:
    pages = -(-total // limit)
    counts = f'{{"page":{page},"limit":{limit},"total":{total},"pages":{pages}}}'
    return f'{{"data":[{rows}],"pagination":{counts}}}'


if __name__ == "__main__":
    server = Server(Calls(*map(int, sys.argv[1:])))
    print(f"http://127.0.0.1:{server.server_address[1]}/v1", flush=True)
    server.serve_forever()
