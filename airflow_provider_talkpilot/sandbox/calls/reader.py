"""Reads the sandbox's agents and calls, which are in memory in the order of lists."""

from __future__ import annotations

import datetime as dt
import itertools
import threading
from array import array
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from airflow_provider_talkpilot.sandbox.calls.agent_calls import AgentCalls, Bound
from airflow_provider_talkpilot.sandbox.calls.agents import make_agent, shown_agent
from airflow_provider_talkpilot.sandbox.calls.data import (
    CYCLE,
    DETAIL_ONLY,
    SOFT_DELETED,
    CallMaker,
    Ids,
    Row,
    plan_day,
)
from airflow_provider_talkpilot.sandbox.calls.json_text import to_json
from airflow_provider_talkpilot.sandbox.calls.performance import (
    performance_record,
    performance_transcript,
)
from airflow_provider_talkpilot.sandbox.calls.times import Micros, Moment, to_micros
from airflow_provider_talkpilot.sandbox.calls.transcripts import TranscriptStyle
from airflow_provider_talkpilot.sandbox.settings import SandboxSettings

Filter = Callable[[Row], bool]

_ROWS_KEPT = 50_000
_WALKS_KEPT = 16


class CallReader:
    """Agents and calls, to read. All methods may be called from any thread.

    :param settings: its seed, days and numbers of calls and agents are read once, its switches
        at each call.
    """

    def __init__(self, settings: SandboxSettings) -> None:
        self._settings = settings
        self._lock = threading.RLock()
        self._maker = CallMaker(settings.seed, settings.unparsable_transcripts)
        self._record_ids = Ids(settings.seed, "performance ")
        self._seed = settings.seed
        self._agents: list[Row] = []
        self._calls_of: list[AgentCalls] = []
        self._numbers: dict[str, int] = {}
        # By ordinal: the call's agent and its start. Only changed calls have more.
        self._agent_of = array("H")
        self._created_of = array("q")
        self._changes: dict[int, Row] = {}
        self._erased: set[int] = set()
        self._last_update: Micros = 0
        self._version = 0
        self._list_rows: dict[int, bytes] = {}
        self._list_rows_have_more_reasons = settings.switches.more_reasons
        self._walks: OrderedDict[tuple[object, ...], Sequence[int]] = OrderedDict()
        for _ in range(settings.agents):
            self.add_agent()
        self._fill(settings.dates(), settings.calls_per_day)
        self._generated = len(self._agent_of)

    def _fill(self, days: list[dt.date], calls_per_day: int) -> None:
        share, rest = divmod(calls_per_day, max(1, len(self._agents)))
        for number, calls in enumerate(self._calls_of):
            count = share + (number < rest)
            first = len(self._created_of)
            for day in days:
                ordinal = len(self._created_of)
                self._created_of.extend(plan_day(self._seed, number, day, count, ordinal))
            self._agent_of.extend([number] * (len(self._created_of) - first))
            created = self._created_of
            order = sorted(range(first, len(created)), key=created.__getitem__)
            for _, group in itertools.groupby(order, key=created.__getitem__):
                ties = list(group)
                if len(ties) > 1:
                    ties.sort(key=self._maker.ids.uuid)
                calls.ordinals.extend(ties)
            calls.created.extend(map(created.__getitem__, calls.ordinals))
            calls.deleted.extend(n % CYCLE == SOFT_DELETED for n in calls.ordinals)

    # Reading

    @property
    def agents(self) -> list[Row]:
        """All agents as ``GET /agents`` shows them, newest ``created_at`` first."""
        is_full = self._settings.switches.full_agents
        with self._lock:
            return [shown_agent(agent, is_full=is_full) for agent in reversed(self._agents)]

    @property
    def agent_ids(self) -> list[str]:
        """The ids of all agents, in the order in which they were made."""
        with self._lock:
            return [agent["id"] for agent in self._agents]

    def __len__(self) -> int:
        """Count the calls, soft-deleted ones included."""
        with self._lock:
            return sum(len(calls.ordinals) for calls in self._calls_of)

    def has_agent(self, agent_id: str) -> bool:
        """Whether the agent exists."""
        return agent_id.lower() in self._numbers

    def page(
        self,
        agent_id: str,
        *,
        after: Bound = None,
        before: Bound = None,
        include_deleted: bool = False,
        keep: tuple[tuple[object, ...], Filter] | None = None,
        offset: int = 0,
        limit: int = 20,
    ) -> tuple[list[int], int]:
        """Return a page of an agent's calls, newest first.

        :param agent_id: the agent; KeyError for an unknown one.
        :param after: lower bound of ``created_at``.
        :param before: upper bound of it.
        :param include_deleted: whether soft-deleted calls are included.
        :param keep: a name of the filter, and the filter: it is called with each list row.
        :param offset: how many calls to skip.
        :param limit: how many calls to return at most.
        :returns: ordinals of the page's calls, and how many calls all pages have.
        """
        with self._lock:
            calls = self._calls_of[self._numbers[agent_id.lower()]]
            low, high = calls.between(after, before)
            found: Sequence[int]
            if keep is None and (include_deleted or not calls.deleted.count(1, low, high)):
                first, last = max(low, high - offset - limit), max(low, high - offset)
                found = calls.ordinals[first:last]
                return list(reversed(found)), high - low
            walk = (agent_id, low, high, include_deleted, keep and keep[0], self._version)
            if walk not in self._walks:
                found = calls.ordinals[low:high]
                if not include_deleted:
                    hidden = calls.deleted[low:high]
                    found = array("q", itertools.compress(found, (not flag for flag in hidden)))
                if keep is not None:
                    matches = keep[1]
                    found = array("q", (n for n in found if matches(self._list_row(n))))
                self._walks[walk] = found
                while len(self._walks) > _WALKS_KEPT:
                    self._walks.popitem(last=False)
            found = self._walks[walk]
            last = max(0, len(found) - offset)
            return list(reversed(found[max(0, last - limit) : last])), len(found)

    def find(self, call_id: str, agent_id: str | None = None) -> int | None:
        """Return the ordinal of a call (soft-deleted or not); None for one that does not exist.

        :param call_id: the call's ``id``.
        :param agent_id: the call must be of this agent; None allows any.
        """
        return self._find_in(self._maker.ids, call_id, agent_id)

    def find_record(self, record_id: str, agent_id: str | None = None) -> int | None:
        """Return the ordinal of the call with this performance record; see :meth:`find`."""
        return self._find_in(self._record_ids, record_id, agent_id)

    def _find_in(self, ids: Ids, text: str, agent_id: str | None) -> int | None:
        try:
            ordinal = ids.ordinal(text)
        except ValueError:
            return None
        with self._lock:
            if ordinal >= len(self._agent_of) or ordinal in self._erased:
                return None
            number = self._agent_of[ordinal]
            if agent_id is not None and self._numbers.get(agent_id.lower()) != number:
                return None
            return ordinal

    def list_row(self, ordinal: int) -> Row:
        """Return the fields of a list row."""
        with self._lock:
            return self._list_row(ordinal)

    def list_json(self, ordinal: int) -> bytes:
        """Return a list row as JSON, from a cache: clients list rows many times."""
        with self._lock:
            more_reasons = self._settings.switches.more_reasons
            if more_reasons != self._list_rows_have_more_reasons:
                self._list_rows_have_more_reasons = more_reasons
                self._list_rows.clear()
            row = self._list_rows.get(ordinal)
            if row is None:
                if len(self._list_rows) >= _ROWS_KEPT:
                    self._list_rows.clear()
                row = to_json(self._list_row(ordinal))
                self._list_rows[ordinal] = row
            return row

    def detail(self, ordinal: int) -> Row:
        """Return all fields of a call, without ``audio_file_url``."""
        with self._lock:
            return self._detail(ordinal)

    def performance(self, ordinal: int, *, with_transcript: bool = False) -> Row:
        """Return the performance record of a call.

        :param with_transcript: whether to add the transcript, which only single records have.
        """
        with self._lock:
            agent, _, _ = self._origin(ordinal)
            call = self._detail(ordinal)
            record = performance_record(
                self._record_ids.uuid(ordinal),
                call,
                self._made_list_row(ordinal),
                agent,
                forgets_purged=self._settings.purge_reaches_performance,
                score_shift=self._settings.performance_score_shift,
            )
            if with_transcript:
                record["transcript"] = performance_transcript(call["transcript"])
            return record

    def truth(
        self, start: Moment, end: Moment, agent_ids: Iterable[str] | None = None
    ) -> list[Row]:
        """Return the details of all calls in ``[start, end)``, as a correct copy has them.

        Soft-deleted calls are included. Erased calls and ``audio_file_url`` are not.

        :param start: first moment of the interval (ISO 8601 text or datetime; UTC if naive).
        :param end: first moment after it.
        :param agent_ids: only of these agents; None takes all.
        :returns: details sorted by ``created_at``, then ``id``.
        """
        first, last = to_micros(start), to_micros(end)
        with self._lock:
            found: list[tuple[Micros, str, Row]] = []
            for number in self._agent_numbers(agent_ids):
                calls = self._calls_of[number]
                low, high = calls.between((first, True), (last, False))
                for ordinal in calls.ordinals[low:high]:
                    row = self._detail(ordinal)
                    found.append((self._created_of[ordinal], row["id"], row))
        found.sort(key=lambda item: item[:2])
        return [row for _, _, row in found]

    def _agent_numbers(self, agent_ids: Iterable[str] | None) -> list[int]:
        """Return the numbers of some agents, or of all; KeyError for an unknown agent."""
        if agent_ids is None:
            return list(range(len(self._agents)))
        return [self._numbers[agent_id.lower()] for agent_id in agent_ids]

    def _rows(self, agent_ids: Iterable[str] | None) -> list[Row]:
        """Return the list rows of all calls of some agents, or of all."""
        all_calls = [self._calls_of[number] for number in self._agent_numbers(agent_ids)]
        return [self._list_row(ordinal) for calls in all_calls for ordinal in calls.ordinals]

    def _list_row(self, ordinal: int) -> Row:
        row = self._made_list_row(ordinal)
        for name, value in self._changes.get(ordinal, {}).items():
            if name not in DETAIL_ONLY:
                row[name] = value
        return row

    def _detail(self, ordinal: int) -> Row:
        settings = self._settings
        style = TranscriptStyle(
            settings.transcript_role, settings.transcript_times, settings.transcript_tools
        )
        agent, _, plain = self._origin(ordinal)
        row = self._made_list_row(ordinal)
        row |= self._maker.detail_fields(
            ordinal, agent, style, plain=plain, decimal=settings.switches.decimal_scores
        )
        row.update(self._changes.get(ordinal, {}))
        return row

    def _made_list_row(self, ordinal: int) -> Row:
        agent, created, plain = self._origin(ordinal)
        more_reasons = self._settings.switches.more_reasons
        return self._maker.list_fields(
            ordinal, agent, created, plain=plain, more_reasons=more_reasons
        )

    def _origin(self, ordinal: int) -> tuple[Row, Micros, bool]:
        agent = self._agents[self._agent_of[ordinal]]
        return agent, self._created_of[ordinal], ordinal >= self._generated

    def add_agent(self, **fields: Any) -> str:
        """Add an agent.

        :param fields: values instead of the made-up ones.
        :returns: the agent's id.
        """
        with self._lock:
            agent = make_agent(self._seed, len(self._agents), **fields)
            self._numbers[agent["id"].lower()] = len(self._agents)
            self._agents.append(agent)
            self._calls_of.append(AgentCalls())
            return str(agent["id"])
