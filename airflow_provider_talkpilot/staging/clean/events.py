"""Events leave the inbox: those of calls that are loaded, purged or gone, and those of no call."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta

from airflow_provider_talkpilot.compat import ObjectStoragePath
from airflow_provider_talkpilot.staging import storage
from airflow_provider_talkpilot.staging.clean.walked import CallState, WalkedCalls
from airflow_provider_talkpilot.staging.errors import storage_errors
from airflow_provider_talkpilot.staging.inbox import list_days, read_event
from airflow_provider_talkpilot.staging.manifests import WalksManifest
from airflow_provider_talkpilot.staging.names import EventName, Folder, inbox_folder

_DAY = timedelta(days=1)
# A webhook can come before its call's row is written. A walk that lacks the call after so long
# proves that it is gone.
_ROW_IS_THERE_AFTER = timedelta(hours=1)
_OLDEST = datetime.min.replace(tzinfo=UTC)


def clean_events(
    root: ObjectStoragePath, own: Folder, walk: WalksManifest, *, loaded: bool
) -> tuple[int, int]:
    """Delete the events of calls that a walk shows to be purged or gone; if loaded, of all others.

    :param root: the root of staging.
    :param own: where the walk's parts are.
    :param walk: the manifest of a walk that was loaded.
    :param loaded: whether the details of its calls were loaded too.
    :return: how many events were deleted as purged or gone, and as loaded.
    """
    start, end, purged, done = walk.interval.start, walk.interval.end, 0, 0
    agents = {agent.agent_id.lower() for agent in walk.agents}
    days = [
        (agent_id, day, datetime.combine(day, time(), UTC))
        for agent_id, days in list_days(root).items()
        for day in days
        if agent_id in agents and start.date() - _DAY <= day <= end.date() + _DAY
    ]
    if not days:
        return 0, 0
    with storage_errors("read", own.path), WalkedCalls(own.path, walk) as calls:
        for agent_id, day, midnight in days:
            is_whole = start <= midnight and midnight + _DAY <= end
            for path, name, written_at in _events(root, agent_id, day):
                call = {"id": "", "agent_id": agent_id, "call_id": _call_id(path, name)}
                call["created_at"] = midnight.isoformat() if is_whole else ""
                state = calls.state(call, written_at + _ROW_IS_THERE_AFTER)
                is_done = loaded and calls.has(call["call_id"])
                if state is not CallState.SAME or is_done:
                    storage.delete(path)
                    purged, done = purged + (state is not CallState.SAME), done + is_done
            storage.remove_if_empty(inbox_folder(root, agent_id, day))
    return purged, done


def expire_events(root: ObjectStoragePath, now: datetime, max_age: timedelta) -> int:
    """Delete the events of calls that no walk showed, once they are so old.

    :return: how many events were deleted.
    """
    deleted = 0
    for agent_id, days in list_days(root).items():
        for day in days:
            # What came lately is of these days, unless its call's start is wrong.
            if now.date() - max_age < day <= now.date() + _DAY:
                continue
            folder = inbox_folder(root, agent_id, day)
            for entry in storage.list_entries(folder):
                if not entry.is_folder and (entry.modified or _OLDEST) < now - max_age:
                    storage.delete(folder / entry.name)
                    deleted += 1
            storage.remove_if_empty(folder)
    return deleted


def _events(
    root: ObjectStoragePath, agent_id: str, day: date
) -> Iterator[tuple[ObjectStoragePath, EventName, datetime]]:
    folder = inbox_folder(root, agent_id, day)
    for entry in storage.list_entries(folder):
        if not entry.is_folder and (name := EventName.parse(entry.name)):
            yield folder / entry.name, name, entry.modified or _OLDEST


def _call_id(path: ObjectStoragePath, name: EventName) -> str:
    """The ``call_id`` of an event: its name has it, or else its content."""
    event = None if name.has_call_id else read_event(path)
    return event.call_id if event else name.call
