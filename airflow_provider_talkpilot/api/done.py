"""How many calls of an interval are done, for few requests.

TalkPilot leaves two things open, and this is right under every reading:

- Whether ``done=false`` lists calls whose ``done`` is null. So the calls that are not done are
  those listed without the filter, less those that ``done=true`` lists.
- Whether ``from`` and ``to`` include their bound. So requests are a second wider on each side, and
  the calls in those seconds are taken off again.

Soft-deleted calls are not listed and do not count.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from airflow_provider_talkpilot.api.interval import MARGIN, Interval, format_utc
from airflow_provider_talkpilot.api.models import Flag, TalkPilotModel, UtcDatetime
from airflow_provider_talkpilot.api.walk import Exchange, Walk, list_agents


@dataclass(frozen=True)
class Progress:
    """How far an interval is.

    :param is_done: whether enough calls are done.
    :param calls: calls that were looked at: all, unless one that is not done was enough.
    :param done: those of them that are done.
    """

    is_done: bool
    calls: int
    done: int

    def of(self, interval: Interval) -> str:
        """Describe it in a line, without a full stop."""
        return f"Of {self.calls:,} call(s) looked at in {interval}, {self.done:,} are done"


class DoneWatch:
    """Checks again and again how far an interval is; remembers which agent had a call not done.

    Where all calls must be done, it stops at the first agent that has one that is not: mostly one
    request. An agent with over 100 calls costs up to four.

    :param interval: which calls, by ``created_at``; it must be over.
    :param share: part of the calls that must be done, over 0 up to 1.
    :param agent_ids: UUIDs; None for every agent that the key can see, listed once.
    """

    def __init__(
        self, interval: Interval, share: float = 1.0, agent_ids: Sequence[str] | None = None
    ) -> None:
        self.interval, self.share = interval, share
        self.agent_ids = None if agent_ids is None else [*agent_ids]

    def check(self) -> Exchange[Progress]:
        """Find out how far the interval is now."""
        if self.agent_ids is None:
            self.agent_ids = [agent.id for agent in (yield from list_agents())]
        calls = done = 0
        for agent_id in self.agent_ids:
            found = yield from self._count(agent_id)
            calls, done = calls + found[0], done + found[1]
            if self.share == 1 and done < calls:
                # The next check begins with this agent.
                others = [other for other in self.agent_ids if other != agent_id]
                self.agent_ids = [agent_id, *others]
                break
        # In binary, 0.07 of 100 calls are a little more than 7.
        return Progress(done >= round(self.share * calls, 6), calls, done)

    def _count(self, agent_id: str) -> Exchange[tuple[int, int]]:
        """An agent's calls and those of them that are done; the newest alone where one is not."""
        start, end = self.interval.start, self.interval.end
        first, last = self.interval.request_from, self.interval.request_to
        rows, total = yield from self._first_page(_list(agent_id, first, last))
        marks = [row.done is True for row in rows if row.created_at in self.interval]
        if len(rows) >= total or (self.share == 1 and not all(marks)):
            return len(marks), sum(marks)
        _, done = yield from self._first_page(_list(agent_id, first, last, done="true"))
        earlier = yield from _list(agent_id, first, start + MARGIN).read(_Row)
        later = yield from _list(agent_id, end - MARGIN, last).read(_Row)
        outside = [row for row in earlier if row.created_at < start]
        outside += [row for row in later if row.created_at >= end]
        calls = total - len(outside)
        return calls, min(calls, done - sum(row.done is True for row in outside))

    def _first_page(self, walk: Walk) -> Exchange[tuple[list[_Row], int]]:
        rows = walk.take_records(_Row, (yield walk.request()))
        return rows, walk.total


class _Row(TalkPilotModel):
    """The fields of a call that matter here."""

    created_at: UtcDatetime
    done: Flag | None = None


def _list(agent_id: str, first: datetime, last: datetime, **filters: str) -> Walk:
    params = {"from": format_utc(first), "to": format_utc(last), **filters}
    return Walk("calls", f"agents/{agent_id}/calls", params)
