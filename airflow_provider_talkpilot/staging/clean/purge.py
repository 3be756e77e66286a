"""Removes calls that a walk shows to be purged or gone from all other staged files and the inbox.

Files of failed runs, of runs still at work and of other DAGs can hold such a call as it was before.
They are rewritten:

- The list row of a purged call is emptied. Without it, the list would say that the call is gone.
- The detail of a purged call, and all rows of a call that is gone, are removed.
- A performance record stays without its personal data.

Manifests and checkpoints that name a rewritten part get its new name. So no request is spent twice,
and a run that is at work goes on.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, time, timedelta
from itertools import islice

from airflow_provider_talkpilot.api.interval import CLOCK_SKEW, read_moment
from airflow_provider_talkpilot.compat import ObjectStoragePath
from airflow_provider_talkpilot.staging import storage
from airflow_provider_talkpilot.staging.clean.walked import CallState, Row, WalkedCalls
from airflow_provider_talkpilot.staging.errors import ManifestError, PartGoneError, storage_errors
from airflow_provider_talkpilot.staging.inbox import list_days, read_event
from airflow_provider_talkpilot.staging.inventory import File, list_files, skip_errors
from airflow_provider_talkpilot.staging.manifests import read_manifest
from airflow_provider_talkpilot.staging.names import (
    EventName,
    Folder,
    columns_of,
    inbox_folder,
)
from airflow_provider_talkpilot.staging.parts import Part, PartWriter, read_records
from airflow_provider_talkpilot.staging.rows.columns import KEPT_BY_PURGE
from airflow_provider_talkpilot.staging.rows.performance import without_personal

# The writer of an unfinished file that is older than this was killed.
UNFINISHED_AGE = timedelta(minutes=5)
# A webhook can come before TalkPilot lists its call. A walk that lacks the call after so long
# proves that it is gone.
_LISTED_AFTER = timedelta(hours=1)
# A performance record can have the time when it was written, so its call can be of the interval
# before. It is written at most so long after its call's start, for all that this module deletes.
_WRITTEN_AFTER = timedelta(hours=2)
# The start that an event tells is at most so far from its call's.
_EVENT_MARGIN = timedelta(minutes=2)
_DAY = timedelta(days=1)
_OLDEST = datetime.min.replace(tzinfo=UTC)
_ROWS = 1000


def purge_parts(folders: Sequence[Folder], own: Folder, calls: WalkedCalls) -> int:
    """Remove calls that a walk shows to be purged or gone from all staged parts but its own.

    :param folders: all folders of staging.
    :param own: the walk's.
    :param calls: the calls of a walk that was loaded.
    :return: how many parts held such calls.
    :raises StagingError: when a part in the walk's own folder cannot be rewritten.
    """
    purged, walked = 0, {part.name for part in calls.walk.parts}
    for folder in folders:
        if not folder.interval.overlaps(calls.walk.interval):
            continue
        is_own = folder.is_same(own)
        with skip_errors(strict=is_own):
            for file in list_files(folder.path):
                if file.name.role == "part" and not (is_own and file.path.name in walked):
                    with skip_errors(strict=is_own), storage_errors("read", file.path):
                        purged += _purge_part(file, calls)
    return purged


def purge_events(
    root: ObjectStoragePath, calls: WalkedCalls, came_before: datetime | None
) -> Counter[str]:
    """Delete events of calls that a walk shows to be purged or gone, and of calls that are loaded.

    :param root: the root of staging.
    :param calls: the calls of a walk that was loaded.
    :param came_before: when the task that staged the loaded details read the inbox: it has not seen
        later events. None if no details are loaded.
    :return: how many events were deleted as ``purged``, gone ones included, and as ``loaded``.
    """
    start, end, deleted = calls.walk.start, calls.walk.end, Counter[str]()
    agents = {agent.agent_id.lower() for agent in calls.walk.agents}
    for agent_id, days in list_days(root).items():
        for day in days if agent_id in agents else ():
            if not start.date() - _DAY <= day <= end.date() + _DAY:
                continue
            midnight, folder = datetime.combine(day, time(), UTC), inbox_folder(root, agent_id, day)
            # An event is filed by the day of its call. Only the walk of a whole day proves that the
            # call is gone.
            is_whole_day = start <= midnight and midnight + _DAY <= end
            row = {"id": "", "agent_id": agent_id, "created_at": midnight.isoformat()}
            for entry in storage.list_entries(folder):
                name = EventName.parse(entry.name)
                if entry.is_folder or name is None:
                    continue
                # The name holds a digest in place of an id that no file can be called.
                event = None if name.has_call_id else read_event(folder / entry.name)
                call_id = event.call_id if event else name.call
                read_at = (entry.modified or _OLDEST) + _LISTED_AFTER if is_whole_day else None
                state = calls.state(row | {"call_id": call_id}, read_at)
                if state is CallState.GONE and (event := event or read_event(folder / entry.name)):
                    # Near the walk's bounds, the walk beside may have the call.
                    near = event.started - _EVENT_MARGIN, event.started + _EVENT_MARGIN
                    is_sure = start <= near[0] and near[1] <= end
                    state = state if is_sure else CallState.SAME
                is_same = state is CallState.SAME
                # Clocks of storage and of workers differ.
                is_read = (
                    came_before and entry.modified and entry.modified < came_before - CLOCK_SKEW
                )
                if not is_same or (is_read and calls.has(call_id)):
                    storage.delete(folder / entry.name)
                    deleted["loaded" if is_same else "purged"] += 1
            storage.remove_if_empty(folder)
    return deleted


def _purge_part(file: File, calls: WalkedCalls) -> bool:
    """Remove calls that are purged or gone from a part; return whether it held any."""
    try:
        if all(_purge_row(row, file, calls) is row for row in read_records(file.path)):
            return False
        with storage.open_raw(file.path) as raw:
            sha256 = hashlib.file_digest(raw, "sha256").hexdigest()
        is_whole = not file.name.unfinished and sha256.startswith(file.name.checksum)
    except PartGoneError:  # it was deleted meanwhile
        return False
    except ManifestError:
        age = datetime.now(UTC) - (file.modified or datetime.now(UTC))
        if file.name.unfinished and age < UNFINISHED_AGE:
            return False
        is_whole = False
    if is_whole:
        _rewrite(file, calls)
    else:  # No load reads an unfinished or torn part. Rewritten, it would look whole.
        storage.delete(file.path)
    return True


def _purge_row(row: Row, file: File, calls: WalkedCalls) -> Row | None:
    """Return what may stay of a staged row: the row itself, less of it, or None."""
    kind, record, read_at = file.name.kind, row, None
    if kind == "rejects":
        record = row["record"] if isinstance(row.get("record"), dict) else {}
        read_at = file.modified  # a reject does not say when it was read: before the file's end
    else:
        with suppress(ValueError):
            read_at = read_moment(row.get("synced_at"))
            if kind == "performance" and not _finds_record(row, file, calls):
                read_at = None
    state = calls.state(record, read_at)
    if state is CallState.SAME:
        return row
    if kind == "performance":
        kept = without_personal(row)
        return row if kept == row else kept
    if state is CallState.PURGED and kind == "calls":
        return {name: row.get(name) for name in KEPT_BY_PURGE} | {"is_purged": True}
    return None


def _finds_record(row: Row, file: File, calls: WalkedCalls) -> bool:
    """Return whether the walk would have the call of a performance record.

    The record leads to it by ``call_id``, which other choices for columns write in another way.
    """
    is_same = columns_of(file.path.parent) == columns_of(calls.folder)
    return is_same and read_moment(row["created_at"]) - _WRITTEN_AFTER in calls.walk.interval


def _rewrite(file: File, calls: WalkedCalls) -> None:
    """Stage a part anew with what may stay of its rows, then delete the old one.

    It can be killed at any moment and run again: it makes the same part under the same name.
    """
    folder = file.path.parent
    with PartWriter(folder, file.name.kind, first=file.name.number) as writer:
        purged = (_purge_row(row, file, calls) for row in read_records(file.path))
        rows = (row for row in purged if row is not None)
        while batch := list(islice(rows, _ROWS)):
            writer.write(batch)
        part = writer.flush()
    _replace_in_manifests(file, part)
    storage.delete(file.path)
    # A task may have stored its manifest meanwhile, and have found the part still there.
    _replace_in_manifests(file, part)


def _replace_in_manifests(file: File, part: Part | None) -> None:
    for other in list_files(file.path.parent):
        if other.name.role != "part" and not other.name.unfinished:
            with skip_errors():
                manifest = read_manifest(other.path)
                if manifest and manifest.replace_part(file.path.name, part):
                    storage.put_text(manifest.model_dump_json(), other.path)
