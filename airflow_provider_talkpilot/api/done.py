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

from pydantic import ValidationError

from airflow_provider_talkpilot.api.errors import UnexpectedResponseError
from airflow_provider_talkpilot.api.http.exchange import Exchange, Request
from airflow_provider_talkpilot.api.interval import MARGIN, Interval, format_utc
from airflow_provider_talkpilot.api.models import (
    Flag,
    TalkPilotModel,
    UtcDatetime,
    describe_invalid,
)
from airflow_provider_talkpilot.api.walk import PAGE_LIMIT, list_agents, page_params, read_page

# In binary, 0.07 of 100 calls are a little more than 7.
_ROUNDING = 1e-6


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
            count = yield from agent.find_open() if self.share == 1 else agent.count()
            calls += count.calls
            done += count.done
            if self.share == 1 and done < calls:
                is_whole = count.is_whole and agent is self._agents[-1]
                # The next check begins with this agent.
                self._agents = [agent, *(other for other in self._agents if other is not agent)]
                return Progress(False, calls, done, is_whole)
        return Progress(done >= self.share * calls - _ROUNDING, calls, done)

    def _lists(self, agent_ids: Iterable[str]) -> list[_AgentCalls]:
        return [_AgentCalls(agent_id, self.interval) for agent_id in agent_ids]


class _Row(TalkPilotModel):
    """The fields of a call that matter here."""

    created_at: UtcDatetime
    done: Flag | None = None


@dataclass(frozen=True)
class _Page:
    """A page of a list, and how many rows the whole list has."""

    rows: list[_Row]
    total: int


@dataclass(frozen=True)
class _Count:
    """How many calls were counted, how many of them are done, and whether these are all."""

    calls: int
    done: int
    is_whole: bool = True

    @property
    def has_open(self) -> bool:
        """Whether one of them is not done."""
        return self.done < self.calls


class _AgentCalls:
    """One agent's calls of an interval."""

    def __init__(self, agent_id: str, interval: Interval) -> None:
        self.agent_id = agent_id
        self._interval = interval
        # Whether the last open call that was found is none of the newest 100.
        self._open_is_old = False

    def count(self) -> Exchange[_Count]:
        """Count them all: one request, or three where there are over 100."""
        newest = yield from self._page()
        return (yield from self._count(newest))

    def find_open(self) -> Exchange[_Count]:
        """Look for one that is not done; count them all where there is none."""
        old = None
        if self._open_is_old:
            old = yield from self._find_old()
            if old.has_open:
                return old
        newest = yield from self._page()
        found = self._inside(newest)
        if found.has_open or found.is_whole:
            self._open_is_old = False
            return found
        if old is None:
            old = yield from self._find_old()
            if old.has_open:
                self._open_is_old = True
                return old
        return (yield from self._count(newest))

    def _find_old(self) -> Exchange[_Count]:
        """Look for one that is not done among all, by the filter; it may not find null."""
        page = yield from self._page(done="false")
        return replace(self._inside(page), is_whole=False)

    def _inside(self, page: _Page) -> _Count:
        """Count the rows of a page that are in the interval."""
        done = [row.done is True for row in page.rows if row.created_at in self._interval]
        return _Count(len(done), sum(done), is_whole=len(page.rows) >= page.total)

    def _count(self, newest: _Page) -> Exchange[_Count]:
        """Count them all, from the totals of lists where they are more than a page."""
        count = self._inside(newest)
        if count.is_whole:
            return count
        done = (yield from self._page(done="true", limit=1)).total
        start, end = self._interval.start, self._interval.end
        later = newest.rows
        if all(row.created_at >= end for row in later):  # more than a page of them
            later = yield from self._all(end - MARGIN, self._interval.request_to)
        earlier = yield from self._all(self._interval.request_from, start + MARGIN)
        outside = [row for row in later if row.created_at >= end]
        outside += [row for row in earlier if row.created_at < start]
        calls = newest.total - len(outside)
        return _Count(calls, min(calls, done - sum(row.done is True for row in outside)))

    def _all(self, first: datetime, last: datetime) -> Exchange[list[_Row]]:
        """Fetch all rows between two moments."""
        rows: list[_Row] = []
        number = 0
        while True:
            number += 1
            page = yield from self._page(first, last, number=number)
            rows += page.rows
            if not page.rows or len(rows) >= page.total:
                return rows

    def _page(
        self,
        first: datetime | None = None,
        last: datetime | None = None,
        *,
        done: str | None = None,
        number: int = 1,
        limit: int = PAGE_LIMIT,
    ) -> Exchange[_Page]:
        path = f"agents/{self.agent_id}/calls"
        params = {
            "from": format_utc(first or self._interval.request_from),
            "to": format_utc(last or self._interval.request_to),
            **({} if done is None else {"done": done}),
            **page_params(number, limit),
        }
        rows, total = read_page(path, (yield Request("calls", path, params)))
        try:
            return _Page([_Row.read(row) for row in rows], total)
        except ValidationError as error:
            raise UnexpectedResponseError(
                f"GET {path} responded with a call that does not fit ({describe_invalid(error)}).",
                status=200,
            ) from None
