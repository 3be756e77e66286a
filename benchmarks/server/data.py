"""Made-up calls, rendered once: every response is bytes that are ready.

Nothing here is the package's: the server belongs to no contestant.
"""

from __future__ import annotations

import json
from bisect import bisect_left, bisect_right
from datetime import UTC, datetime, timedelta
from typing import Any

FIRST_DAY = datetime(2026, 3, 16, tzinfo=UTC)
_CHANGED = "2026-03-25T08:00:00.000Z"


def iso(moment: datetime) -> str:
    """Return a time as the API writes it."""
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def agent_id(number: int) -> str:
    """The id of an agent."""
    return f"a0000000-0000-4000-8000-{number:012}"


class Calls:
    """One agent's calls, newest first.

    :param agent: number of the agent.
    :param days: days from :data:`FIRST_DAY` on.
    :param a_day: calls a day, evenly spread, none of them on a midnight.
    :param on_midnights: calls exactly on each midnight, and as many half a second before it.
    """

    def __init__(self, agent: int, days: int, a_day: int, on_midnights: int = 0) -> None:
        self.agent_id = agent_id(agent)
        step = timedelta(days=1) / (a_day + 1)
        moments = [
            FIRST_DAY + timedelta(days=day) + step * number
            for day in range(days)
            for number in range(1, a_day + 1)
        ]
        for day in range(days + 1):
            midnight = FIRST_DAY + timedelta(days=day)
            moments += on_midnights * [midnight, midnight - timedelta(seconds=0.5)]
        self._times = sorted(moments)
        self._ids = [
            f"c{agent:07}-0000-4000-8000-{number:012}" for number in range(len(self._times))
        ]
        self._positions = {call_id: number for number, call_id in enumerate(self._ids)}
        self._gone: set[str] = set()
        self._rows = [self._render(number, detail=False) for number in range(len(self._times))]
        self._details: dict[str, bytes] = {}

    def ids_between(self, start: datetime, end: datetime) -> list[str]:
        """Ids of the calls from ``start`` on and before ``end``."""
        return self._ids[bisect_left(self._times, start) : bisect_left(self._times, end)]

    def page(
        self, page: int, limit: int, start: datetime | None, end: datetime | None, inclusive: bool
    ) -> bytes:
        """Return a rendered page of the list."""
        after, before = (bisect_left, bisect_right) if inclusive else (bisect_right, bisect_left)
        low = after(self._times, start) if start else 0
        high = before(self._times, end) if end else len(self._times)
        total = max(0, high - low)
        last = high - (page - 1) * limit
        rows = self._rows[max(low, last - limit) : max(low, last)]
        pages = -(-total // limit)
        told = f'"page":{page},"limit":{limit},"total":{total},"pages":{pages}'
        return (
            b'{"data":[' + b",".join(reversed(rows)) + b'],"pagination":{' + told.encode() + b"}}"
        )

    def detail(self, call_id: str) -> bytes | None:
        """Return a call's rendered detail; None for an unknown call."""
        position = self._positions.get(call_id)
        if position is None or call_id in self._gone:
            return None
        if call_id not in self._details:
            self._details[call_id] = self._render(position, detail=True)
        return self._details[call_id]

    def purge(self, call_id: str) -> None:
        """Empty a call's personal data, and keep its row."""
        position = self._positions[call_id]
        self._rows[position] = self._render(position, detail=False, purged=True)
        self._details[call_id] = self._render(position, detail=True, purged=True)

    def erase(self, call_id: str) -> None:
        """Remove a call for good."""
        position = self._positions.pop(call_id)
        self._gone.add(call_id)
        for column in (self._times, self._ids, self._rows):
            del column[position]
        self._positions = {one: number for number, one in enumerate(self._ids)}

    def render_all(self) -> None:
        """Render every detail before the first request."""
        for call_id in self._ids:
            self.detail(call_id)

    def _render(self, position: int, *, detail: bool, purged: bool = False) -> bytes:
        call_id, created = self._ids[position], self._times[position]
        mark = mark_of(call_id)
        row: dict[str, Any] = {
            "id": call_id,
            "call_id": f"SCL_{call_id[-12:]}",
            "customer_name": None if purged else f"Caller {mark}",
            "customer_request": None if purged else f"When does the order of {mark} arrive?",
            "phone_number": None if purged else f"+49{mark}",
            "call_summary": None if purged else f"{mark} wants to know when it arrives. " * 3,
            "employee": None,
            "note": None,
            "duration": 30 + position % 600,
            "done": position % 2 == 0,
            "general_success": position % 3 != 0,
            "disconnection_reason": "user_hangup",
            "agent_id": self.agent_id,
            "is_purged": purged,
            "deleted_at": None,
            "created_at": iso(created),
            "updated_at": _CHANGED if purged else iso(created + timedelta(minutes=20)),
        }
        if detail:
            turns = [
                {"role": role, "text": f"{mark} said: {'what callers say, ' * 4}turn {turn}"}
                for turn in range(4)
                for role in ("agent", "user")
            ]
            row |= {
                "transcript": None if purged else json.dumps(turns),
                "audio_file_url": None,
                "final_score": 1 + position % 10,
            }
        return json.dumps(row, separators=(",", ":")).encode()


def mark_of(call_id: str) -> str:
    """Return the text that marks a caller's data in every copy."""
    return f"77{call_id[1:8][-2:]}{call_id[-9:]}77"
