"""How many calls of an interval are done, for the fewest requests that make it certain.

TalkPilot leaves two things open, and this is right under every reading:

- Whether ``done=false`` lists calls whose ``done`` is null. So the calls that are not done are
  those listed without the filter, less those that ``done=true`` lists. ``done=false`` only helps
  to find one sooner.
- Whether ``from`` and ``to`` include their bound. So requests are a second wider on each side, and
  the calls in those seconds are taken off again.

Soft-deleted calls are not listed and do not count.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from airflow_provider_talkpilot.api.interval import MARGIN, Interval, format_utc
from airflow_provider_talkpilot.api.models import Flag, TalkPilotModel, UtcDatetime
from airflow_provider_talkpilot.api.walk import Exchange, Walk, list_agents


@dataclass(frozen=True)
class Progress:
    """How far an interval is.

    :param is_done: whether enough calls are done.
    :param calls: calls that were counted.
    :param done: those of them that are done.
    :param is_whole: whether all calls were counted; otherwise some that are not done were found,
        and that was enough.
    """

    is_done: bool
    calls: int
    done: int
    is_whole: bool = True

    def of(self, interval: Interval) -> str:
        """Describe it in a line, without a full stop."""
        if self.is_whole:
            return f"{self.done:,} of {self.calls:,} call(s) of {interval} are done"
        return f"At least {self.calls - self.done:,} call(s) of {interval} are not done"


class DoneWatch:
    """Checks again and again how far an interval is; remembers where it found a call not done.

    Where all calls must be done, it stops at the first one that is not: mostly one request, however
    many agents and calls there are. A share of them must be counted: a request for each agent, and
    two more for one with over 100 calls.

    :param interval: which calls, by ``created_at``; it must be over.
    :param share: part of the calls that must be done, over 0 up to 1.
    :param agent_ids: UUIDs; None for every agent that the key can see, listed once.
    """

    def __init__(
        self, interval: Interval, share: float = 1.0, agent_ids: Sequence[str] | None = None
    ) -> None:
        self.interval, self.share = interval, share
        self._agents = None if agent_ids is None else self._lists(agent_ids)

    @property
    def agent_ids(self) -> list[str] | None:
        """The agents, as far as they are known."""
        return None if self._agents is None else [agent.agent_id for agent in self._agents]

    def check(self) -> Exchange[Progress]:
        """Find out how far the interval is now."""
        if self._agents is None:
            agents = yield from list_agents()
            self._agents = self._lists(agent.id for agent in agents)
        calls = done = 0
        for agent in self._agents:
            found = yield from agent.find_open() if self.share == 1 else agent.count()
            calls += found.calls
            done += found.done
            if self.share == 1 and not found.is_done:
                is_whole = found.is_whole and agent is self._agents[-1]
                # The next check begins with this agent.
                self._agents = [agent, *(other for other in self._agents if other is not agent)]
                return Progress(False, calls, done, is_whole)
        # In binary, 0.07 of 100 calls are a little more than 7.
        return Progress(done >= round(self.share * calls, 6), calls, done)

    def _lists(self, agent_ids: Iterable[str]) -> list[_AgentCalls]:
        return [_AgentCalls(agent_id, self.interval) for agent_id in agent_ids]


class _Row(TalkPilotModel):
    """The fields of a call that matter here."""

    created_at: UtcDatetime
    done: Flag | None = None


class _AgentCalls:
    """One agent's calls of an interval; ``is_done`` says here that none is open."""

    def __init__(self, agent_id: str, interval: Interval) -> None:
        self.agent_id, self._interval = agent_id, interval
        # Whether the last open call that was found is none of the newest 100.
        self._open_is_old = False

    def count(self) -> Exchange[Progress]:
        """Count them all: one request, or three where there are over 100."""
        newest = yield from self._first_page()
        return (yield from self._count(*newest))

    def find_open(self) -> Exchange[Progress]:
        """Look for one that is not done; count them all where there is none."""
        old = (yield from self._find_old()) if self._open_is_old else None
        if old and not old.is_done:
            return old
        newest, total = yield from self._first_page()
        found = self._inside(newest, total)
        if not found.is_done or found.is_whole:
            self._open_is_old = False
            return found
        old = old or (yield from self._find_old())
        self._open_is_old = not old.is_done
        if self._open_is_old:
            return old
        return (yield from self._count(newest, total))

    def _find_old(self) -> Exchange[Progress]:
        """Look for one that is not done among all, by the filter; it may not find null."""
        page = yield from self._first_page(done="false")
        return replace(self._inside(*page), is_whole=False)

    def _count(self, newest: list[_Row], total: int) -> Exchange[Progress]:
        """Count them all, from the totals of lists where they are more than a page."""
        found = self._inside(newest, total)
        if found.is_whole:
            return found
        _, done = yield from self._first_page(done="true")
        start, end = self._interval.start, self._interval.end
        later = newest
        if all(row.created_at >= end for row in later):  # more than a page of them
            later = yield from self._list(end - MARGIN, self._interval.request_to).read(_Row)
        earlier = yield from self._list(self._interval.request_from, start + MARGIN).read(_Row)
        outside = [row for row in later if row.created_at >= end]
        outside += [row for row in earlier if row.created_at < start]
        calls = total - len(outside)
        done = min(calls, done - sum(row.done is True for row in outside))
        return Progress(done == calls, calls, done)

    def _inside(self, rows: list[_Row], total: int) -> Progress:
        """Count the rows of a page that are in the interval."""
        done = [row.done is True for row in rows if row.created_at in self._interval]
        return Progress(all(done), len(done), sum(done), is_whole=len(rows) >= total)

    def _first_page(self, **filters: str) -> Exchange[tuple[list[_Row], int]]:
        walk = self._list(self._interval.request_from, self._interval.request_to, **filters)
        rows = walk.take_records(_Row, (yield walk.request()))
        return rows, walk.total

    def _list(self, first: datetime, last: datetime, **filters: str) -> Walk:
        params = {"from": format_utc(first), "to": format_utc(last), **filters}
        return Walk("calls", f"agents/{self.agent_id}/calls", params)
