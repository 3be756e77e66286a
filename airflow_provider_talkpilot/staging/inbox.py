"""The inbox: the events of webhooks, one object each; written and read without Airflow.

An event's name depends on the event alone. So an event that is delivered several times, or to
receivers with different clocks, is one object.
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

from airflow_provider_talkpilot.api.interval import read_moment
from airflow_provider_talkpilot.api.json_text import parse_json_text
from airflow_provider_talkpilot.api.models import read_uuid, storable
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

_LONGEST_CALL_ID = 1000
_READERS, _BATCH = 16, 128
_DAYS_KEPT = 8


class EventError(ValueError):
    """A body is no event that the inbox takes; the message has nothing of the body."""


@dataclass(frozen=True)
class Event:
    """An event of a webhook about a call.

    :param type: ``call_started``, ``call_ended`` or ``call.completed``.
    :param agent_id: the agent's UUID in small letters.
    :param call_id: LiveKit's id, the same as the API's ``call_id``.
    :param started: the call's start, right within a minute or so.
    :param record: the body of the webhook, without addresses of recordings and logs.
    """

    type: str
    agent_id: str
    call_id: str
    started: datetime
    record: dict[str, Any]

    @property
    def day(self) -> date:
        """The day of the call's start, in UTC."""
        return self.started.astimezone(UTC).date()

    @property
    def call(self) -> dict[str, Any]:
        """The fields of the call, which ``call.completed`` has one level deeper."""
        call: dict[str, Any] = self.record["call"] if self.type == CALL_COMPLETED else self.record
        return call

    @classmethod
    def parse(cls, body: bytes | str, now: datetime | None = None) -> Event:
        """Parse the body of a webhook.

        :param now: the call's start, if the event has no time.
        :raises EventError: when it is none of the events, or lacks usable ids.
        """
        try:
            record = storable(parse_json_text(body))
        except ValueError:
            raise EventError("no JSON in UTF-8") from None
        event_type = record.get("event") if isinstance(record, dict) else None
        if event_type not in (CALL_STARTED, CALL_ENDED, CALL_COMPLETED):
            raise EventError(f"none of {CALL_STARTED}, {CALL_ENDED} and {CALL_COMPLETED}")
        call = record.get("call") if event_type == CALL_COMPLETED else record
        if not isinstance(call, dict):
            raise EventError("no call")
        try:
            agent_id = read_uuid(call.get("agent_id"))
        except ValueError:
            raise EventError("agent_id is no UUID") from None
        call_id = call.get("call_id")
        if not isinstance(call_id, str) or not 0 < len(call_id) <= _LONGEST_CALL_ID:
            raise EventError("no call_id")
        started = _start(call) or now or datetime.now(UTC)
        return cls(event_type, agent_id, call_id, started, record)

    def store(self, root: ObjectStoragePath) -> ObjectStoragePath:
        """Write it into the inbox, durably, over an earlier delivery of the same event.

        :param root: the root of staging.
        :raises StagingError: when it cannot be written.
        """
        text = json.dumps(self.record, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
        # Without the time of sending, which differs between deliveries.
        same = {name: value for name, value in self.record.items() if name != "timestamp"}
        digest = hashlib.sha256(json.dumps(same, sort_keys=True).encode()).hexdigest()
        name = EventName(call_name(self.call_id), digest)
        path = inbox_folder(root, self.agent_id, self.day) / str(name)
        storage.put_text(text, path, durable=True)
        return path


def list_days(root: ObjectStoragePath) -> dict[str, list[date]]:
    """List the days with events in the inbox, by agent."""
    days_by_agent = {}
    for agent in storage.list_entries(root / INBOX):
        entries = storage.list_entries(root / INBOX / agent.name) if agent.is_folder else ()
        days = [day for entry in entries if entry.is_folder and (day := _day(entry.name))]
        days_by_agent[agent.name] = days
    return days_by_agent


def find_events(
    root: ObjectStoragePath, calls: Iterable[dict[str, Any]]
) -> Iterator[tuple[dict[str, Any], Event]]:
    """Read the event with the longest transcript of each call, in the order of the calls.

    :param root: the root of staging.
    :param calls: list rows; quick if the rows of an agent are sorted by day.
    :return: pairs of a list row and its event, for the calls with an event.
    """
    days = list_days(root)

    @lru_cache(maxsize=_DAYS_KEPT)
    def events_of(agent_id: str, day: date) -> dict[str, list[ObjectStoragePath]]:
        by_call: dict[str, list[ObjectStoragePath]] = {}
        folder = inbox_folder(root, agent_id, day)
        for entry in storage.list_entries(folder):
            if not entry.is_folder and (name := EventName.parse(entry.name)):
                by_call.setdefault(name.call, []).append(folder / entry.name)
        return by_call

    def look_up(call: dict[str, Any]) -> list[ObjectStoragePath]:
        if not isinstance(call.get("call_id"), str) or call["agent_id"] not in days:
            return []
        started = read_moment(call["created_at"]).date()
        # The event's start can be on the other side of midnight.
        around = (started + timedelta(days=offset) for offset in (0, -1, 1))
        return [
            path
            for day in around
            if day in days[call["agent_id"]]
            for path in events_of(call["agent_id"], day).get(call_name(call["call_id"]), ())
        ]

    def read(pair: tuple[dict[str, Any], list[ObjectStoragePath]]) -> Event | None:
        events = (event for path in pair[1] if (event := read_event(path)))
        return max(events, key=_length, default=None)

    pairs = ((call, paths) for call in calls if (paths := look_up(call)))
    with ThreadPoolExecutor(_READERS) as threads:
        while batch := list(islice(pairs, _BATCH)):
            for (call, _), event in zip(batch, threads.map(read, batch), strict=True):
                if event:
                    yield call, event


def read_event(path: ObjectStoragePath) -> Event | None:
    """Read an event; None if it was deleted meanwhile, or is no event."""
    try:
        return Event.parse(storage.get_text(path) or "")
    except EventError:
        return None


def _length(event: Event) -> tuple[bool, int]:
    """Return a key that sorts events by the length of their transcript; a start sorts first."""
    return event.type != CALL_STARTED, len(str(event.call.get("transcript") or ""))


def _day(name: str) -> date | None:
    try:
        return date.fromisoformat(name)
    except ValueError:
        return None


def _start(call: dict[str, Any]) -> datetime | None:
    """Find out when a call started, if possible from fields that all deliveries have alike."""
    turns = call.get("transcript")
    turns = [turn for turn in turns if isinstance(turn, dict)] if isinstance(turns, list) else []
    times = (
        (call.get("created_at"), 0),
        *((turn.get("timestamp"), turn.get("time_sec")) for turn in turns[:1]),
        # TalkPilot sends the event when the call has ended, and each delivery has its own time.
        (call.get("timestamp"), call.get("duration_seconds") or 0),
    )
    for moment, seconds in times:
        try:
            return read_moment(moment) - timedelta(seconds=seconds)
        except (ValueError, TypeError, OverflowError):
            continue
    return None
