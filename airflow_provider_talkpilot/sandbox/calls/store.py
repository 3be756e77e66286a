"""Changes the sandbox's calls as staff, post-processing, retention and erasure do at TalkPilot."""

from __future__ import annotations

import datetime as dt
import time
from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from typing import Any

from airflow_provider_talkpilot.sandbox.calls.agent_calls import AgentCalls
from airflow_provider_talkpilot.sandbox.calls.data import Row
from airflow_provider_talkpilot.sandbox.calls.json_text import to_json
from airflow_provider_talkpilot.sandbox.calls.reader import CallReader
from airflow_provider_talkpilot.sandbox.calls.times import (
    DAY,
    SECOND,
    Micros,
    Moment,
    to_iso,
    to_micros,
)

_FIXED_FIELDS = frozenset({"id", "agent_id", "created_at", "updated_at"})
_FIXED_OF_AGENTS = frozenset({"id", "created_at", "updated_at"})
_DEFAULT_RETENTION_DAYS = 90


class CallStore(CallReader):
    """Agents and calls, to read and to change. All methods may be called from any thread."""

    def edit_agent(self, agent_id: str, **fields: Any) -> str:
        """Set fields of an agent, for example ``retention_days``; unknown fields are added.

        :param agent_id: the agent; KeyError for an unknown one.
        :param fields: new values.
        :returns: the agent's ``updated_at``.
        """
        _check_fields(fields, _FIXED_OF_AGENTS)
        with self._lock:
            agent = self._agents[self._numbers[agent_id.lower()]]
            agent.update(fields, updated_at=to_iso(self._tick(to_micros(agent["updated_at"]))))
            return str(agent["updated_at"])

    def edit(self, call_id: str, *, bump: bool = True, **fields: Any) -> str:
        """Set fields of a call; unknown fields are added.

        :param call_id: the call's ``id``; KeyError for an unknown one.
        :param bump: whether ``updated_at`` changes, as it does at TalkPilot.
        :param fields: new values; ``transcript`` may be a list of messages.
        :returns: the call's ``updated_at``.
        """
        _check_fields(fields, _FIXED_FIELDS)
        with self._lock:
            ordinal = self._find(call_id)
            self._change(ordinal, fields, bump=bump)
            return str(self._list_row(ordinal)["updated_at"])

    def score(self, call_id: str, final_score: float | None, *, bump: bool = True) -> str:
        """Set the score, as the AI does some time after the call; see :meth:`edit`."""
        return self.edit(call_id, bump=bump, final_score=final_score)

    def purge(self, call_id: str) -> str:
        """Remove transcript, recording and phone number for good; see :meth:`edit`."""
        return self.edit(call_id, is_purged=True, transcript=None, phone_number=None)

    def soft_delete(self, call_id: str) -> str:
        """Hide a call from lists without ``include_deleted``; see :meth:`edit`."""
        with self._lock:
            ordinal = self._find(call_id)
            moment = self._tick_call(ordinal)
            self._change(ordinal, {"deleted_at": moment, "updated_at": moment}, bump=False)
            return moment

    def restore(self, call_id: str) -> str:
        """Undo a soft delete; see :meth:`edit`."""
        return self.edit(call_id, deleted_at=None)

    def erase(self, call_id: str) -> None:
        """Remove a call, as if it had never existed."""
        with self._lock:
            ordinal = self._find(call_id)
            calls, position = self._place(ordinal)
            calls.remove(position)
            self._erased.add(ordinal)
            self._changes.pop(ordinal, None)
            self._list_rows.pop(ordinal, None)
            self._version += 1

    def empty_trash(self, agent_ids: Iterable[str] | None = None) -> list[str]:
        """Remove every soft-deleted call for good, as the dashboard's trash does.

        :param agent_ids: only calls of these agents; None takes all.
        :returns: the ``id`` of each removed call.
        """
        with self._lock:
            gone = [row["id"] for row in self._rows(agent_ids) if row["deleted_at"] is not None]
            for call_id in gone:
                self.erase(call_id)
            return gone

    def auto_delete_done_calls(self, agent_ids: Iterable[str] | None = None) -> list[str]:
        """Soft-delete every done call, as the organization's setting of this name does.

        :param agent_ids: only calls of these agents; None takes all.
        :returns: the ``id`` of each call that moved to the trash.
        """
        with self._lock:
            done = [
                row["id"]
                for row in self._rows(agent_ids)
                if row["done"] is True and row["deleted_at"] is None
            ]
            for call_id in done:
                self.soft_delete(call_id)
            return done

    def purge_by_retention(
        self, moment: Moment | None = None, agent_ids: Iterable[str] | None = None
    ) -> list[str]:
        """Purge every call that is as old as its agent's ``retention_days`` (90 where null).

        It purges nothing if the switch ``retention_purges`` is off, as in spring.

        :param moment: the time at which the purge runs; None is now.
        :param agent_ids: only calls of these agents; None takes all.
        :returns: the ``id`` of each call that was purged.
        """
        if not self._settings.switches.retention_purges:
            return []
        now = int(time.time() * SECOND) if moment is None else to_micros(moment)
        with self._lock:
            purged = []
            for number in self._agent_numbers(agent_ids):
                days = self._agents[number]["retention_days"]
                kept = (_DEFAULT_RETENTION_DAYS if days is None else days) * DAY
                calls = self._calls_of[number]
                old = calls.ordinals[: bisect_right(calls.created, now - kept)]
                rows = [self._list_row(ordinal) for ordinal in old]
                purged += [row["id"] for row in rows if not row["is_purged"]]
            for call_id in purged:
                self.purge(call_id)
            return purged

    def insert_late(self, agent_id: str, created_at: Moment, **fields: Any) -> str:
        """Add a call whose row is written now, at whatever time it started.

        :param agent_id: the agent; KeyError for an unknown one.
        :param created_at: the call's start.
        :param fields: values instead of the made-up ones.
        :returns: the call's ``id``.
        """
        _check_fields(fields, _FIXED_FIELDS)
        with self._lock:
            number = self._numbers[agent_id.lower()]
            ordinal = len(self._agent_of)
            created = to_micros(created_at)
            call_id = self._maker.ids.uuid(ordinal)
            calls = self._calls_of[number]
            position = bisect_left(calls.created, created)
            while position < len(calls.created) and calls.created[position] == created:
                if self._maker.ids.uuid(calls.ordinals[position]) > call_id:
                    break
                position += 1
            self._agent_of.append(number)
            self._created_of.append(created)
            calls.insert(position, ordinal, created)
            self._change(ordinal, fields, bump=True)
            return call_id

    def _find(self, call_id: str) -> int:
        ordinal = self.find(call_id)
        if ordinal is None:
            raise KeyError(call_id)
        return ordinal

    def _place(self, ordinal: int) -> tuple[AgentCalls, int]:
        calls = self._calls_of[self._agent_of[ordinal]]
        return calls, calls.position(ordinal, self._created_of[ordinal])

    def _tick(self, updated: Micros) -> Micros:
        """Return the time of a change: later than every earlier change, and than the row's own."""
        last = max(self._last_update, updated)
        now = int(time.time() * 1000) * 1000
        self._last_update = max(now, last - last % 1000 + 1000)
        return self._last_update

    def _tick_call(self, ordinal: int) -> str:
        return to_iso(self._tick(to_micros(self._list_row(ordinal)["updated_at"])))

    def _change(self, ordinal: int, fields: Row, *, bump: bool) -> None:
        fields = dict(fields)
        if isinstance(fields.get("transcript"), list):
            fields["transcript"] = to_json(fields["transcript"]).decode()
        if isinstance(deleted_at := fields.get("deleted_at"), dt.datetime):
            fields["deleted_at"] = to_iso(to_micros(deleted_at))
        if bump:
            fields["updated_at"] = self._tick_call(ordinal)
        self._changes.setdefault(ordinal, {}).update(fields)
        if "deleted_at" in fields:
            calls, position = self._place(ordinal)
            calls.deleted[position] = fields["deleted_at"] is not None
        self._list_rows.pop(ordinal, None)
        self._version += 1


def _check_fields(fields: Row, fixed: frozenset[str]) -> None:
    """Raise ValueError for fields that never change."""
    wrong = fixed & fields.keys()
    if wrong:
        raise ValueError(f"these fields cannot be set: {', '.join(sorted(wrong))}")
