"""Calls that a walk shows to be purged or erased leave the files of all other work, and the inbox.

Files of failed runs, of runs still at work and of other DAGs can hold calls as they were before.
Such a part is written anew: a purged call's list row is emptied; its detail, and rows of calls that
are gone, are left out; performance records of either lose what tells of a person. Manifests and
checkpoints that name the part get its new name. So no request is spent twice, and a run that is at
work goes on.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime, time, timedelta
from itertools import islice

from pydantic import TypeAdapter, ValidationError

from airflow_provider_talkpilot.compat import ObjectStoragePath
from airflow_provider_talkpilot.staging import storage
from airflow_provider_talkpilot.staging.clean.walked import CallState, Row, WalkedCalls
from airflow_provider_talkpilot.staging.columns import IMPERSONAL
from airflow_provider_talkpilot.staging.errors import ManifestError, storage_errors
from airflow_provider_talkpilot.staging.inbox import list_days, read_event
from airflow_provider_talkpilot.staging.inventory import File, left_alone, list_files
from airflow_provider_talkpilot.staging.manifests import read_manifest
from airflow_provider_talkpilot.staging.names import EventName, Folder, inbox_folder
from airflow_provider_talkpilot.staging.parts import PartWriter, read_records
from airflow_provider_talkpilot.staging.rows import without_personal

# A file that was not written for so long has no writer any more: it was killed.
UNFINISHED_AGE = timedelta(minutes=5)
# A webhook can come before its call's row is written. A walk that lacks the call after so long
# proves that it is gone.
_ROW_IS_THERE_AFTER = timedelta(hours=1)
_DAY = timedelta(days=1)
_OLDEST = datetime.min.replace(tzinfo=UTC)
_ROWS = 1000

_moment = TypeAdapter(datetime).validate_python


def purge_parts(folders: Sequence[Folder], own: Folder, calls: WalkedCalls) -> int:
    """Take calls that a walk shows to be purged, or gone, out of all staged files but its own.

    :param folders: all folders of staging.
    :param own: the walk's.
    :param calls: the calls of a walk that was loaded.
    :return: how many files held such calls.
    :raises StagingError: when a file in the walk's own folder cannot be mended.
    """
    purged, walked = 0, {part.name for part in calls.walk.parts}
    for folder in folders:
        if not folder.interval.overlaps(calls.walk.interval):
            continue
        is_own = folder.is_same(own)
        with left_alone(strict=is_own):
            for file in list_files(folder.path):
                if file.name.role == "part" and not (is_own and file.path.name in walked):
                    with left_alone(strict=is_own), storage_errors("read", file.path):
                        purged += _purge_part(file, calls)
    return purged


def purge_events(root: ObjectStoragePath, calls: WalkedCalls, *, loaded: bool) -> tuple[int, int]:
    """Delete the events of calls that a walk shows to be purged or gone; if loaded, of all others.

    :param root: the root of staging.
    :param calls: the calls of a walk that was loaded.
    :param loaded: whether the details of its calls were loaded too.
    :return: how many events were deleted as purged or gone, and as loaded.
    """
    start, end, purged, done = calls.walk.start, calls.walk.end, 0, 0
    agents = {agent.agent_id.lower() for agent in calls.walk.agents}
    for agent_id, days in list_days(root).items():
        for day in days if agent_id in agents else ():
            if not start.date() - _DAY <= day <= end.date() + _DAY:
                continue
            midnight, folder = datetime.combine(day, time(), UTC), inbox_folder(root, agent_id, day)
            is_whole = start <= midnight and midnight + _DAY <= end
            for entry in storage.list_entries(folder):
                name = EventName.parse(entry.name)
                if entry.is_folder or name is None:
                    continue
                # The name of an event has its call's id, or else its content.
                event = None if name.has_call_id else read_event(folder / entry.name)
                call = {"id": "", "agent_id": agent_id}
                call["call_id"] = event.call_id if event else name.call
                call["created_at"] = midnight.isoformat() if is_whole else ""
                written_at = entry.modified or _OLDEST
                is_lost = calls.state(call, written_at + _ROW_IS_THERE_AFTER) is not CallState.SAME
                is_done = loaded and calls.has(call["call_id"])
                if is_lost or is_done:
                    storage.delete(folder / entry.name)
                    purged, done = purged + is_lost, done + is_done
            storage.remove_if_empty(folder)
    return purged, done


def _purge_part(file: File, calls: WalkedCalls) -> bool:
    """Take out what is purged or gone; tell whether there was any."""
    torn: ManifestError | None = None
    try:
        if all(now is row for row, now in _rows(file, calls)):
            return False
    except ManifestError as error:
        if storage.size(file.path) is None:  # it was deleted meanwhile
            return False
        age = datetime.now(UTC) - (file.modified or datetime.now(UTC))
        if file.name.unfinished and age < UNFINISHED_AGE:
            return False
        torn = error
    # No load takes a part that is unfinished or damaged. Written anew it would look whole.
    if file.name.unfinished or not _is_intact(file):
        storage.delete(file.path)
    elif torn:
        raise torn
    else:
        _write_anew(file, calls)
    return True


def _rows(file: File, calls: WalkedCalls) -> Iterator[tuple[Row, Row | None]]:
    """Each row as it is staged, and as it is now: None where nothing of it may stay."""
    kind = file.name.kind
    for row in read_records(file.path):
        record, read_at = row, None
        if kind == "rejects":
            record = row["record"] if isinstance(row.get("record"), dict) else {}
            read_at = file.modified  # it does not say when: before the file was written
        else:
            with suppress(ValidationError):
                read_at = _moment(row.get("synced_at"))
        state = calls.state(record, read_at)
        if state is CallState.SAME:
            yield row, row
        elif kind == "performance":
            kept = without_personal(row)
            yield row, row if kept == row else kept
        elif state is CallState.PURGED and kind == "calls":
            # Without its row the list would say that the call is gone.
            yield row, {name: row.get(name) for name in IMPERSONAL} | {"is_purged": True}
        else:
            yield row, None


def _is_intact(file: File) -> bool:
    with storage.open_raw(file.path) as raw:
        return hashlib.file_digest(raw, "sha256").hexdigest().startswith(file.name.checksum)


def _write_anew(file: File, calls: WalkedCalls) -> None:
    # Killed at any moment and run again, this makes the same part under the same name.
    folder = file.path.parent
    with PartWriter(folder, file.name.kind, first=file.name.number) as writer:
        rows = (now for _, now in _rows(file, calls) if now is not None)
        while some := list(islice(rows, _ROWS)):
            writer.write(some)
        part = writer.flush()
    for other in list_files(folder):
        if other.name.role != "part" and not other.name.unfinished:
            with left_alone(strict=False):
                manifest = read_manifest(other.path)
                if manifest and manifest.replace_part(file.path.name, part):
                    storage.put_text(manifest.model_dump_json(), other.path)
    storage.delete(file.path)
