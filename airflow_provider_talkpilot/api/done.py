"""How many calls of an interval are done, found out with few requests.

The first page of a list has the number of all calls in ``total``. TalkPilot's documentation leaves
two questions open, and the count is right in either case:

- ``done=false`` may or may not list calls whose ``done`` is null. So the calls that are not done
  are counted as all calls less those that ``done=true`` lists.
- ``from`` and ``to`` may or may not include their bound. So each list is a second wider on both
  sides, and the calls in these seconds are read and subtracted.

Soft-deleted calls are not listed, and do not count.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from airflow_provider_talkpilot.api.errors import (
    AgentNotAccessibleError,
    NotFoundError,
    WalkMovedError,
)
from airflow_provider_talkpilot.api.exchange import Exchange
from airflow_provider_talkpilot.api.interval import MARGIN, Interval, format_utc
from airflow_provider_talkpilot.api.models import Flag, TalkPilotModel, UtcDatetime
from airflow_provider_talkpilot.api.walk import Walk, list_agents


@dataclass(frozen=True)
class DoneCount:
    """How many calls of an interval are done.

    :param is_done: whether enough calls are done.
    :param calls: calls that were counted: all, or fewer if one that is not done was enough.
    :param done: those of them that are done.
    """

    is_done: bool
    calls: int
    done: int

    def of(self, interval: Interval) -> str:
        """Describe the count in one line, without a full stop."""
        return f"Of {self.calls:,} call(s) looked at in {interval}, {self.done:,} are done"


class DoneWatch:
    """Counts the calls of an interval that are done, as often as :meth:`check` is called.

    If all calls must be done, a check ends at the first agent with a call that is not done, and
    the next check begins with that agent: mostly one request. Otherwise a check costs one request
    for each agent, and up to four for an agent with more than 100 calls.

    :param interval: which calls, by ``created_at``; it must be over.
    :param share: the part of the calls that must be done, over 0 up to 1.
    :param agent_ids: UUIDs; None for every agent that the key can see, listed at the first check.
    :param are_named: whether a user named the agents; otherwise they come from the key's list.
    """

    def __init__(
        self,
        interval: Interval,
        share: float = 1.0,
        agent_ids: Sequence[str] | None = None,
        *,
        are_named: bool = True,
    ) -> None:
        self.interval, self.share = interval, share
        self.agent_ids = None if agent_ids is None else [*agent_ids]
        self.are_named = are_named and agent_ids is not None

    def check(self) -> Exchange[DoneCount]:
        """Count the calls, and those that are done, as they are now.

        :raises WalkMovedError: when the key's list had an agent whose calls TalkPilot refuses; the
            next check lists the agents again.
        """
        if self.agent_ids is None:
            self.agent_ids = [agent.id for agent in (yield from list_agents())]
        calls = done = 0
        for agent_id in self.agent_ids:
            try:
                agent_calls, agent_done = yield from self._count(agent_id)
            except (AgentNotAccessibleError, NotFoundError) as error:
                if self.are_named:
                    raise
                self.agent_ids = None
                raise WalkMovedError(
                    f"An agent was probably deleted since the agents were listed. {error}"
                ) from None
            calls += agent_calls
            done += agent_done
            if self.share == 1 and done < calls:
                self.agent_ids.remove(agent_id)
                self.agent_ids.insert(0, agent_id)
                break
        # In binary, 0.07 of 100 calls are a little more than 7.
        return DoneCount(done >= round(self.share * calls, 6), calls, done)

    def _count(self, agent_id: str) -> Exchange[tuple[int, int]]:
        """Return the number of an agent's calls, and of those that are done.

        Count the newest 100 calls only, if all must be done and one of these is not.
        """
        start, end = self.interval.start, self.interval.end
        first, last = self.interval.request_from, self.interval.request_to
        every = _calls_between(agent_id, first, last)
        newest = yield from every.read_first(_Call)
        is_done = [call.done is True for call in newest if call.created_at in self.interval]
        if len(newest) >= every.total or (self.share == 1 and not all(is_done)):
            return len(is_done), sum(is_done)
        only_done = _calls_between(agent_id, first, last, done="true")
        yield from only_done.read_first(_Call)
        before = yield from _calls_between(agent_id, first, start + MARGIN).read_all(_Call)
        after = yield from _calls_between(agent_id, end - MARGIN, last).read_all(_Call)
        outside = [call for call in before if call.created_at < start]
        outside += [call for call in after if call.created_at >= end]
        calls = every.total - len(outside)
        done = only_done.total - sum(call.done is True for call in outside)
        return calls, min(calls, done)


class _Call(TalkPilotModel):
    """The two fields of a call that count here."""

    created_at: UtcDatetime
    done: Flag | None = None


def _calls_between(agent_id: str, first: datetime, last: datetime, **filters: str) -> Walk:
    params = {"from": format_utc(first), "to": format_utc(last), **filters}
    return Walk("calls", f"agents/{agent_id}/calls", params)
