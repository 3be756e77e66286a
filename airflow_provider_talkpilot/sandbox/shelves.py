"""The truth that the sandbox serves: agents and calls in memory, in the order of lists."""

from __future__ import annotations

import datetime as dt
import itertools
import threading
from array import array
from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from airflow_provider_talkpilot.sandbox.agents import make_agent, shown_agent
from airflow_provider_talkpilot.sandbox.data import (
    CYCLE,
    DETAIL_ONLY,
    SOFT_DELETED,
    CallMaker,
    Ids,
    Row,
    plan_day,
)
from airflow_provider_talkpilot.sandbox.eras import Switches
from airflow_provider_talkpilot.sandbox.json_text import to_json
from airflow_provider_talkpilot.sandbox.performance import (
    performance_record,
    performance_transcript,
)
from airflow_provider_talkpilot.sandbox.settings import SandboxSettings
from airflow_provider_talkpilot.sandbox.times import Micros, Moment, to_micros
from airflow_provider_talkpilot.sandbox.transcripts import TranscriptStyle

Filter = Callable[[Row], bool]

_ROWS_KEPT = 50_000
_WALKS_KEPT = 16


class Shelf:
    """The calls of one agent in order of (created_at, id): three columns of equal length."""

    def __init__(self) -> None:
        self.created = array("q")
        self.ordinals = array("q")
        self.deleted = bytearray()


class Shelves:
    """Agents and calls, to read. All methods may be called from any thread.

    :param settings: seed, days, number of calls and agents are taken from here, once; switches
        whenever something is read.
    """

    def __init__(self, settings: SandboxSettings) -> None:
        self._settings = settings
        self._lock = threading.RLock()
        self._maker = CallMaker(settings.seed, settings.unparsable_transcripts)
        self._record_ids = Ids(settings.seed, "performance ")
        self._seed = settings.seed
        self._agents: list[Row] = []
        self._shelves: list[Shelf] = []
        self._numbers: dict[str, int] = {}
        # Per call, by ordinal: its agent and its start. Only touched calls have more.
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
        for number, shelf in enumerate(self._shelves):
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
                    ties.sort(key=self._maker.call_uuid)
                shelf.ordinals.extend(ties)
            shelf.created.extend(map(created.__getitem__, shelf.ordinals))
            shelf.deleted.extend(n % CYCLE == SOFT_DELETED for n in shelf.ordinals)

    # Reading

    @property
    def agents(self) -> list[Row]:
        """All agents, newest ``created_at`` first, as ``GET /agents`` shows them."""
        is_full = self._settings.switches.full_agents
        with self._lock:
            return [shown_agent(agent, is_full=is_full) for agent in reversed(self._agents)]

    @property
    def agent_ids(self) -> list[str]:
        """The ids of all agents, first made first."""
        with self._lock:
            return [agent["id"] for agent in self._agents]

    def __len__(self) -> int:
        """How many calls there are, soft-deleted ones included."""
        with self._lock:
            return sum(len(shelf.ordinals) for shelf in self._shelves)

    def has_agent(self, agent_id: str) -> bool:
        """Whether there is such an agent."""
        return agent_id.lower() in self._numbers

    def page(
        self,
        agent_id: str,
        *,
        after: tuple[Micros, bool] | None = None,
        before: tuple[Micros, bool] | None = None,
        include_deleted: bool = False,
        keep: tuple[tuple[object, ...], Filter] | None = None,
        offset: int = 0,
        limit: int = 20,
    ) -> tuple[list[int], int]:
        """Part of an agent's calls, newest first.

        :param agent_id: the agent; KeyError when there is none.
        :param after: lower bound of ``created_at`` and whether a call exactly on it is in.
        :param before: upper bound likewise.
        :param include_deleted: soft-deleted calls too.
        :param keep: a name for the filter, and the filter: called with each list row.
        :param offset: how many calls to skip.
        :param limit: how many calls at most.
        :returns: ordinals of the calls, and how many there are in all.
        """
        with self._lock:
            shelf = self._shelves[self._numbers[agent_id.lower()]]
            low, high = 0, len(shelf.created)
            if after is not None:
                low = (bisect_left if after[1] else bisect_right)(shelf.created, after[0])
            if before is not None:
                high = (bisect_right if before[1] else bisect_left)(shelf.created, before[0])
            high = max(low, high)
            found: Sequence[int]
            if keep is None and (include_deleted or not shelf.deleted.count(1, low, high)):
                first, last = max(low, high - offset - limit), max(low, high - offset)
                found = shelf.ordinals[first:last]
                return list(reversed(found)), high - low
            walk = (agent_id, low, high, include_deleted, keep and keep[0], self._version)
            if walk not in self._walks:
                found = shelf.ordinals[low:high]
                if not include_deleted:
                    hidden = shelf.deleted[low:high]
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
        """Ordinal of a call that is there (soft-deleted included), else None.

        :param call_id: the call's ``id``.
        :param agent_id: the call must be this agent's.
        """
        return self._find_in(self._maker, call_id, agent_id)

    def find_record(self, record_id: str, agent_id: str | None = None) -> int | None:
        """Ordinal of the call that has this performance record, else None; see :meth:`find`."""
        return self._find_in(self._record_ids, record_id, agent_id)

    def _find_in(self, ids: CallMaker | Ids, text: str, agent_id: str | None) -> int | None:
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
        """The fields of a list row."""
        with self._lock:
            return self._list_row(ordinal)

    def list_json(self, ordinal: int) -> bytes:
        """The list row as JSON; kept, because rows are listed many times."""
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
        """All fields of a call, without ``audio_file_url``."""
        with self._lock:
            return self._detail(ordinal)

    def performance(self, ordinal: int, *, with_transcript: bool = False) -> Row:
        """The performance record of a call.

        :param with_transcript: as a single record shows it, not as the list does.
        """
        with self._lock:
            agent, _, _ = self._origin(ordinal)
            call = self._detail(ordinal)
            record = performance_record(
                self._record_ids.uuid(ordinal),
                call,
                self._made_list_row(ordinal, self._settings.switches),
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
        """What a correct copy holds: details of all calls in ``[start, end)``.

        Soft-deleted calls are included, erased ones are not, ``audio_file_url`` never is.

        :param start: first moment of the interval (ISO 8601 text or datetime; UTC if naive).
        :param end: first moment after it.
        :param agent_ids: only these agents; None is all.
        :returns: details sorted by ``created_at``, then ``id``.
        """
        first, last = to_micros(start), to_micros(end)
        with self._lock:
            found: list[tuple[Micros, str, Row]] = []
            for number in self._agent_numbers(agent_ids):
                shelf = self._shelves[number]
                low, high = bisect_left(shelf.created, first), bisect_left(shelf.created, last)
                for ordinal in shelf.ordinals[low:high]:
                    row = self._detail(ordinal)
                    found.append((self._created_of[ordinal], row["id"], row))
        found.sort(key=lambda item: item[:2])
        return [row for _, _, row in found]

    def _agent_numbers(self, agent_ids: Iterable[str] | None) -> list[int]:
        """Numbers of some agents, or of all; KeyError when there is no such agent."""
        if agent_ids is None:
            return list(range(len(self._agents)))
        return [self._numbers[agent_id.lower()] for agent_id in agent_ids]

    def _rows(self, agent_ids: Iterable[str] | None) -> list[Row]:
        """List rows of all calls of some agents, or of all."""
        shelves = [self._shelves[number] for number in self._agent_numbers(agent_ids)]
        return [self._list_row(ordinal) for shelf in shelves for ordinal in shelf.ordinals]

    def _list_row(self, ordinal: int) -> Row:
        row = self._made_list_row(ordinal, self._settings.switches)
        for name, value in self._changes.get(ordinal, {}).items():
            if name not in DETAIL_ONLY:
                row[name] = value
        return row

    def _detail(self, ordinal: int) -> Row:
        settings = self._settings
        switches = settings.switches
        style = TranscriptStyle(
            settings.transcript_role, settings.transcript_times, settings.transcript_tools
        )
        agent, _, plain = self._origin(ordinal)
        row = self._made_list_row(ordinal, switches)
        row |= self._maker.detail_fields(
            ordinal, agent, style, plain=plain, decimal=switches.decimal_scores
        )
        row.update(self._changes.get(ordinal, {}))
        return row

    def _made_list_row(self, ordinal: int, switches: Switches) -> Row:
        agent, created, plain = self._origin(ordinal)
        return self._maker.list_fields(
            ordinal, agent, created, plain=plain, more_reasons=switches.more_reasons
        )

    def _origin(self, ordinal: int) -> tuple[Row, Micros, bool]:
        agent = self._agents[self._agent_of[ordinal]]
        return agent, self._created_of[ordinal], ordinal >= self._generated

    def add_agent(self, **fields: Any) -> str:
        """Add an agent.

        :param fields: set instead of the made-up ones.
        :returns: the agent's id.
        """
        with self._lock:
            agent = make_agent(self._seed, len(self._agents), **fields)
            self._numbers[agent["id"].lower()] = len(self._agents)
            self._agents.append(agent)
            self._shelves.append(Shelf())
            return str(agent["id"])
