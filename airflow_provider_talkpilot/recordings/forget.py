"""Deletes recordings: of calls that TalkPilot purged or erased, and of those kept long enough."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import datetime
from functools import partial
from itertools import chain, islice
from typing import Any, NamedTuple

from airflow_provider_talkpilot.compat import ObjectStoragePath
from airflow_provider_talkpilot.recordings.names import (
    call_of,
    day_of,
    parent_of,
    scheme_of,
    uri_of,
)
from airflow_provider_talkpilot.staging import storage
from airflow_provider_talkpilot.staging.errors import StagingError
from airflow_provider_talkpilot.staging.storage import parse_uri

_AT_ONCE = 16
# So many recordings are held in memory.
_BATCH = 10_000
_MARKERS = ("KeyMarker", "VersionIdMarker")

# Name of each object, where the storage has versions each of them, and what deletes it.
_Objects = Iterator[tuple[str, Callable[[], object]]]


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

    Of objects in Cloud Storage and S3 all versions go. What is gone already is fine.

    :param recordings: of which calls.
    :param root: where recordings are archived today; None where they are not.
    :return: how many objects were deleted, each version counted.
    :raises StagingError: when one cannot be deleted: the call's row must not be emptied then.
    """
    remaining, deleted = iter(recordings), 0
    while batch := list(islice(remaining, _BATCH)):
        deleted += _forget_batch(batch, root)
    return deleted


def _forget_batch(recordings: Iterable[Recording], root: ObjectStoragePath | None) -> int:
    folders: dict[str, tuple[ObjectStoragePath, set[str]]] = {}
    for recording in recordings:
        if root:
            # First, for it names its connection; what the table has does not.
            path = root / day_of(recording)
            folders.setdefault(uri_of(path), (path, set()))[1].add(recording.id)
        if recording.uri and (uri := parent_of(recording.uri, recording)):
            if uri not in folders:
                folders[uri] = parse_uri(uri), set()
            folders[uri][1].add(recording.id)
    with ThreadPoolExecutor(_AT_ONCE) as threads:
        found = threads.map(lambda each: _find(*each), folders.values())
        deleted = sum(threads.map(lambda each: _delete(*each), chain.from_iterable(found)))
    for folder, _ in folders.values():
        storage.remove_if_empty(folder)
    return deleted


def _find(
    folder: ObjectStoragePath, calls: set[str]
) -> list[tuple[ObjectStoragePath, Callable[[], object]]]:
    """Find what to delete, also what a task that was killed left unfinished."""
    objects = {"gs": _google, "s3": _amazon}.get(scheme_of(folder), _others)
    with _errors(folder), suppress(FileNotFoundError):
        folder.fs.invalidate_cache()
        return [
            (folder, delete)
            for name, delete in objects(folder)
            if call_of(name.lstrip(".")) in calls
        ]
    return []


def _delete(folder: ObjectStoragePath, delete: Callable[[], object]) -> bool:
    """Delete; false where it is gone already."""
    with _errors(folder), suppress(FileNotFoundError):
        delete()
        return True
    return False


def _google(folder: ObjectStoragePath) -> _Objects:
    fs = folder.fs
    for info in fs.ls(folder.path, detail=True, versions=True):
        if info["type"] == "file":
            bucket, _, key = info["name"].partition("#")[0].partition("/")
            delete = partial(fs.call, "DELETE", "b/{}/o/{}", bucket, key)
            yield key.rpartition("/")[2], partial(delete, generation=info["generation"])


def _amazon(folder: ObjectStoragePath) -> _Objects:
    fs, (bucket, _, key) = folder.fs, folder.path.strip("/").partition("/")
    # s3fs itself lists versions only where it was made for it. Airflow's is not.
    page: dict[str, Any] = {"IsTruncated": True}
    while page["IsTruncated"]:
        # S3 takes no empty marker.
        after = {name: page[f"Next{name}"] for name in _MARKERS if page.get(f"Next{name}")}
        page = fs.call_s3("list_object_versions", Bucket=bucket, Prefix=f"{key}/", **after)
        for each in page.get("Versions", []) + page.get("DeleteMarkers", []):
            version = {"Bucket": bucket, "Key": each["Key"], "VersionId": each["VersionId"]}
            yield each["Key"].rpartition("/")[2], partial(fs.call_s3, "delete_object", **version)


def _others(folder: ObjectStoragePath) -> _Objects:
    for entry in storage.list_entries(folder):
        if not entry.is_folder:
            yield entry.name, partial(folder.fs.rm_file, (folder / entry.name).path)


@contextmanager
def _errors(folder: ObjectStoragePath) -> Iterator[None]:
    """Say what to do where recordings cannot be deleted."""
    try:
        yield
    except Exception as error:  # every storage library has exceptions of its own
        said = f"{type(error).__name__}: {error}".splitlines()[0]
        raise StagingError(
            f"Cannot delete recordings of purged calls in {folder} ({said}), so the table keeps "
            "their rows as they were. Check that the connection may list and delete there, all "
            "versions too, and that no retention policy, hold or lock keeps the objects."
        ) from error
