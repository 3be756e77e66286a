"""Deletes recordings: of calls that TalkPilot purged or erased, and of those kept long enough."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from functools import partial
from typing import NamedTuple

from airflow_provider_talkpilot.compat import ObjectStoragePath
from airflow_provider_talkpilot.recordings.names import call_of, day_of, is_google, parent_of
from airflow_provider_talkpilot.staging import storage
from airflow_provider_talkpilot.staging.errors import StagingError

_AT_ONCE = 16


class Recording(NamedTuple):
    """A call whose recording has to go.

    :param id: the call's UUID.
    :param agent_id: its agent's.
    :param created_at: when it started.
    :param uri: where the table says that the recording is, if it does.
    """

    id: str
    agent_id: str
    created_at: datetime
    uri: str | None = None


def forget_recordings(recordings: Iterable[Recording], root: ObjectStoragePath | None) -> int:
    """Delete recordings, wherever the table says or their names say that they are.

    Of objects in Cloud Storage all versions go. What is gone already is fine.

    :param recordings: of which calls.
    :param root: where recordings are archived today; None where they are not.
    :return: how many objects were deleted.
    :raises StagingError: when one cannot be deleted: the call's row must not be emptied then.
    """
    folders: dict[str, tuple[ObjectStoragePath, set[str]]] = {}
    for recording in recordings:
        places = [root / day_of(recording)] if root else []
        if recording.uri and (parent := parent_of(recording.uri, recording)):
            places.append(parent)
        for place in places:
            folders.setdefault(place.path.strip("/"), (place, set()))[1].add(recording.id)
    with ThreadPoolExecutor(_AT_ONCE) as threads:
        return sum(threads.map(lambda found: _delete(*found), folders.values()))


def _delete(folder: ObjectStoragePath, calls: set[str]) -> int:
    deleted = 0
    try:
        folder.fs.invalidate_cache()
        if not is_google(folder):
            for entry in storage.list_entries(folder):
                # Also what a task that was killed left unfinished.
                if not entry.is_folder and call_of(entry.name.lstrip(".")) in calls:
                    storage.delete(folder / entry.name)
                    deleted += 1
            storage.remove_if_empty(folder)
            return deleted
        for info in folder.fs.ls(folder.path, detail=True, versions=True):
            bucket, _, key = info["name"].partition("#")[0].partition("/")
            if info["type"] == "file" and call_of(key.rpartition("/")[2]) in calls:
                delete = partial(folder.fs.call, "DELETE", "b/{}/o/{}", bucket, key)
                delete(generation=info["generation"])
                deleted += 1
    except FileNotFoundError:
        return deleted
    except Exception as error:  # every storage library has exceptions of its own
        said = f"{type(error).__name__}: {error}".splitlines()[0]
        raise StagingError(
            f"Cannot delete recordings of purged calls in {folder} ({said}), so the table keeps "
            "their rows as they were. Check that the connection may list and delete there, and "
            "that no retention policy or hold keeps the objects."
        ) from error
    return deleted
