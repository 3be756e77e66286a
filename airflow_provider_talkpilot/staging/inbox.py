"""The inbox: what webhooks brought, one object an event; written and read without Airflow.

An event that is delivered several times is one object. Receivers with different clocks give it the
same name: that follows from the event alone.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING, Any

from airflow_provider_talkpilot.api import require_uuid
from airflow_provider_talkpilot.api.errors import ConfigurationError
from airflow_provider_talkpilot.api.interval import read_moment
from airflow_provider_talkpilot.api.json_text import parse_json_text
from airflow_provider_talkpilot.staging import storage
from airflow_provider_talkpilot.staging.names import (
    INBOX,
    EventName,
    call_name,
    inbox_folder,
)

if TYPE_CHECKING:
    from airflow_provider_talkpilot.compat import ObjectStoragePath

CALL_STARTED, CALL_ENDED, CALL_COMPLETED = "call_started", "call_ended", "call.completed"
"""The events that the inbox takes; TalkPilot sent the last one until summer 2026."""

# Recordings' addresses and links to a call's log let anybody in who has them.
_CREDENTIALS = frozenset(
    {"recording_url", "recording_multi_channel_url", "public_log_url", "audio_file_url"}
)
_LONGEST_CALL_ID = 1000
_READERS, _DAYS_KEPT = 16, 8


class EventError(ValueError):
    """A body is no event that the inbox takes; the message has nothing of its content."""


@dataclass(frozen=True)
class Event:
    """What a webhook told of a call.

    :param kind: ``call_started``, ``call_ended`` or ``call.completed``.
    :param agent_id: the agent's UUID in small letters.
    :param call_id: LiveKit's id, as the API's ``call_id`` has it.
    :param day: when the call started, in UTC.
    :param record: all that was sent but for credentials.
    """

    kind: str
    agent_id: str
    call_id: str
    day: date
    record: dict[str, Any]

    @property
    def call(self) -> dict[str, Any]:
        """The fields of the call: of ``call.completed`` they are one level deeper."""
        call: dict[str, Any] = self.record["call"] if self.kind == CALL_COMPLETED else self.record
        return call

    @classmethod
    def parse(cls, body: bytes | str, now: datetime | None = None) -> Event:
        """Read the body of a webhook.

        :param now: counts as the call's start where the event tells no time.
        :raises EventError: when it is none of the events, or without usable ids.
        """
        try:
            record = parse_json_text(body)
        except ValueError:
            raise EventError("no JSON in UTF-8") from None
        kind = record.get("event") if isinstance(record, dict) else None
        if kind not in (CALL_STARTED, CALL_ENDED, CALL_COMPLETED):
            raise EventError(f"none of {CALL_STARTED}, {CALL_ENDED} and {CALL_COMPLETED}")
        call = record.get("call") if kind == CALL_COMPLETED else record
        if not isinstance(call, dict):
            raise EventError("no call")
        try:
            agent_id = require_uuid("agent_id", call.get("agent_id"))
        except ConfigurationError:
            raise EventError("agent_id is no UUID") from None
        call_id = call.get("call_id")
        if not isinstance(call_id, str) or not 0 < len(call_id) <= _LONGEST_CALL_ID:
            raise EventError("no call_id")
        for name in _CREDENTIALS & call.keys():
            del call[name]
        started = _start(call) or now or datetime.now(UTC)
        return cls(kind, agent_id, call_id, started.date(), record)

    def store(self, root: ObjectStoragePath) -> ObjectStoragePath:
        """Write it into the inbox, durably, over an earlier delivery of the same event.

        :param root: the root of staging.
        :raises StagingError: when it cannot be written.
        """
        text = json.dumps(self.record, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
        # The time of sending is another in each delivery.
        same = json.dumps(
            {k: v for k, v in self.record.items() if k != "timestamp"}, sort_keys=True
        )
        name = EventName(call_name(self.call_id), hashlib.sha256(same.encode()).hexdigest())
        path = inbox_folder(root, self.agent_id, self.day) / str(name)
        storage.put_text(text, path, durable=True)
        return path


def list_days(root: ObjectStoragePath) -> dict[str, list[date]]:
    """List the days of which the inbox of each agent has events."""
    found = {}
    for agent in storage.list_entries(root / INBOX):
        entries = storage.list_entries(root / INBOX / agent.name) if agent.is_folder else ()
        days = [day for entry in entries if entry.is_folder and (day := _day(entry.name))]
        found[agent.name] = days
    return found


def find_events(
    root: ObjectStoragePath, calls: Iterable[dict[str, Any]]
) -> Iterator[tuple[dict[str, Any], Event]]:
    """Read the event with the longest transcript of each call that has one, in order.

    :param root: the root of staging.
    :param calls: list rows; quick where an agent's follow each other by day.
    """
    days = list_days(root)

    @lru_cache(maxsize=_DAYS_KEPT)
    def events_of(agent_id: str, day: date) -> dict[str, list[ObjectStoragePath]]:
        found: dict[str, list[ObjectStoragePath]] = {}
        for entry in storage.list_entries(inbox_folder(root, agent_id, day)):
            if not entry.is_folder and (name := EventName.parse(entry.name)):
                path = inbox_folder(root, agent_id, day) / entry.name
                found.setdefault(name.call, []).append(path)
        return found

    def look_up(call: dict[str, Any]) -> list[ObjectStoragePath]:
        if not isinstance(call.get("call_id"), str) or call["agent_id"] not in days:
            return []
        started = read_moment(call["created_at"]).date()
        # An event without a turn tells the call's start within a minute or so.
        around = (started + timedelta(days=offset) for offset in (0, -1, 1))
        return [
            path
            for day in around
            if day in days[call["agent_id"]]
            for path in events_of(call["agent_id"], day).get(call_name(call["call_id"]), ())
        ]

    def read(found: tuple[dict[str, Any], list[ObjectStoragePath]]) -> Event | None:
        call, paths = found
        events = [event for path in paths if (event := read_event(path))]
        mine = [event for event in events if event.call_id == call["call_id"]]
        return max(mine, key=_words, default=None)

    there = ((call, paths) for call in calls if (paths := look_up(call)))
    with ThreadPoolExecutor(_READERS) as threads:
        while some := list(islice(there, _DAYS_KEPT * _READERS)):
            for (call, _), event in zip(some, threads.map(read, some), strict=True):
                if event:
                    yield call, event


def read_event(path: ObjectStoragePath) -> Event | None:
    """Read an event; None where it was deleted meanwhile, or is none."""
    try:
        return Event.parse(storage.get_text(path) or "")
    except EventError:
        return None


def _words(event: Event) -> tuple[bool, int]:
    """More of what an event says; one that a call began says least."""
    return event.kind != CALL_STARTED, len(str(event.call.get("transcript") or ""))


def _day(name: str) -> date | None:
    try:
        return date.fromisoformat(name)
    except ValueError:
        return None


def _start(call: dict[str, Any]) -> datetime | None:
    """When a call started, as far as its event tells, and alike in all deliveries if possible."""
    turns = call.get("transcript")
    turns = [turn for turn in turns if isinstance(turn, dict)] if isinstance(turns, list) else []
    times = (
        (call.get("created_at"), 0),
        *((turn.get("timestamp"), turn.get("time_sec")) for turn in turns[:1]),
        # Sent when the call has ended; each delivery has a time of its own.
        (call.get("timestamp"), call.get("duration_seconds") or 0),
    )
    for moment, seconds in times:
        try:
            return read_moment(moment) - timedelta(seconds=seconds)
        except (ValueError, TypeError, OverflowError):
            continue
    return None
