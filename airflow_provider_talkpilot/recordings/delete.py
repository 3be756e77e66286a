"""Deletes recordings: of calls that TalkPilot purged or erased, and of old calls by choice."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from functools import partial
from itertools import chain, islice
from typing import Any, NamedTuple

from airflow_provider_talkpilot.api.redaction import describe_error
from airflow_provider_talkpilot.compat import ObjectStoragePath
from airflow_provider_talkpilot.recordings.names import (
    call_of,
    day_folder,
    folder_of,
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

# The name of each object, and the function that deletes it. Each version is an object of its own.
_Objects = Iterator[tuple[str, Callable[[], object]]]


class Recording(NamedTuple):
    """A call whose recording is to be deleted.

    :param id: the call's UUID.
    :param agent_id: the UUID of its agent.
    :param created_at: when the call started.
    :param uri: where the recording is according to the table, if the table has it.
    """

    id: str
    agent_id: str
    created_at: datetime
    uri: str | None = None


def delete_recordings(recordings: Iterable[Recording], root: ObjectStoragePath | None) -> int:
    """Delete the recordings of calls: where the table has them, and where the archive would.

    It also looks in the folders of the day before and after, because a start can be corrected.

    In Cloud Storage and S3 all versions of an object are deleted. An object that is gone already is
    fine.

    :param recordings: of which calls.
    :param root: where recordings are archived today; None where they are not.
    :return: how many objects were deleted, each version counted.
    :raises StagingError: when one cannot be deleted: then the call's row must not be emptied.
    """
    remaining, deleted = iter(recordings), 0
    while batch := list(islice(remaining, _BATCH)):
        deleted += _delete_batch(batch, root)
    return deleted


def _delete_batch(recordings: Iterable[Recording], root: ObjectStoragePath | None) -> int:
    folders: dict[str, tuple[ObjectStoragePath, set[str]]] = {}
    for recording in recordings:
        if root:
            # The root comes first: it names its connection, and the table's URI does not.
            # TalkPilot may have corrected the call's start after a task archived its recording.
            for days in (-1, 0, 1):
                start = recording.created_at + timedelta(days)
                path = root / day_folder(recording.agent_id, start)
                folders.setdefault(uri_of(path), (path, set()))[1].add(recording.id)
        if recording.uri and (uri := folder_of(recording.uri, recording.id)):
            if uri not in folders:
                folders[uri] = parse_uri(uri), set()
            folders[uri][1].add(recording.id)
    with ThreadPoolExecutor(_AT_ONCE) as threads:
        objects = threads.map(lambda args: _find(*args), folders.values())
        deleted = sum(threads.map(lambda args: _delete(*args), chain.from_iterable(objects)))
    for folder, _ in folders.values():
        storage.remove_if_empty(folder)
    return deleted


def _find(
    folder: ObjectStoragePath, calls: set[str]
) -> list[tuple[ObjectStoragePath, Callable[[], object]]]:
    """Find the objects of calls in a folder, and the unfinished files that killed tasks left."""
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
    """Delete an object; return false where it is gone already."""
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
    fs, (bucket, _, prefix) = folder.fs, folder.path.strip("/").partition("/")
    # A file system of s3fs lists versions only if it was created with version_aware. Airflow's was
    # not.
    page: dict[str, Any] = {"IsTruncated": True}
    while page["IsTruncated"]:
        # S3 refuses an empty marker.
        after = {name: page[f"Next{name}"] for name in _MARKERS if page.get(f"Next{name}")}
        page = fs.call_s3("list_object_versions", Bucket=bucket, Prefix=f"{prefix}/", **after)
        for version in page.get("Versions", []) + page.get("DeleteMarkers", []):
            key, of = version["Key"], {"Bucket": bucket, "VersionId": version["VersionId"]}
            yield key.rpartition("/")[2], partial(fs.call_s3, "delete_object", Key=key, **of)


def _others(folder: ObjectStoragePath) -> _Objects:
    for entry in storage.list_entries(folder):
        if not entry.is_folder:
            yield entry.name, partial(folder.fs.rm_file, (folder / entry.name).path)


@contextmanager
def _errors(folder: ObjectStoragePath) -> Iterator[None]:
    """Raise a :class:`StagingError` that names the cure, in place of any error."""
    try:
        yield
    except Exception as error:  # every storage library has exceptions of its own
        raise StagingError(
            f"Cannot delete recordings of purged calls in {folder} ({describe_error(error)}), so "
            "the table keeps their rows as they were. Check that the connection may list and "
            "delete there, all versions too, and that no retention policy, hold or lock "
            "keeps the objects."
        ) from error
