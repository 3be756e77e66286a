"""The last step of a run: staging keeps nothing longer than needed, and nothing purged.

Files that were loaded are deleted. Calls that a walk shows to be purged or erased leave the files
of all other work. Files of abandoned work expire.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from airflow_provider_talkpilot.compat import ObjectStoragePath
from airflow_provider_talkpilot.staging import storage
from airflow_provider_talkpilot.staging.clean.purge import (
    UNFINISHED_AGE,
    purge_events,
    purge_parts,
)
from airflow_provider_talkpilot.staging.clean.walked import WalkedCalls
from airflow_provider_talkpilot.staging.errors import storage_errors
from airflow_provider_talkpilot.staging.inbox import list_days
from airflow_provider_talkpilot.staging.inventory import find_folders, left_alone, list_files
from airflow_provider_talkpilot.staging.manifests import (
    Manifest,
    WalksManifest,
    load_manifest,
    read_manifest,
)
from airflow_provider_talkpilot.staging.names import FileName, Folder, inbox_folder

log = logging.getLogger(__name__)

MAX_AGE = timedelta(days=7)


@dataclass
class Cleaned:
    """How many files were cleaned, by reason; the inbox's events too.

    :param loaded: deleted, for they are in the table.
    :param purged: deleted or written anew, for they held calls that TalkPilot purged or erased.
    :param expired: deleted, for no task went on with them.
    """

    loaded: int = 0
    purged: int = 0
    expired: int = 0


def clean_staging(
    root: ObjectStoragePath,
    manifests: Sequence[ObjectStoragePath],
    *,
    keep: bool = False,
    max_age: timedelta = MAX_AGE,
    now: datetime | None = None,
) -> Cleaned:
    """Clean after a run whose manifests were loaded.

    May be killed at any moment and run again, and may run beside runs that are at work.

    :param root: the root of staging.
    :param manifests: what the run staged and loaded.
    :param keep: delete nothing but what is purged.
    :param max_age: a folder expires when nothing was written there for so long.
    :param now: aware time that ages are measured at; the machine's clock by default.
    :raises StagingUriError: when a manifest is not below the root.
    :raises StagingError: when what the run staged cannot be cleaned; others' files are left alone.
    """
    now, cleaned = now or datetime.now(UTC), Cleaned()
    loaded = [(Folder.of_manifest(path, root), path) for path in manifests]
    folders = find_folders(root)
    # "details" before "calls": they need not be searched then, and the walk is needed to search.
    for folder, path in sorted(loaded, key=lambda each: each[1].name, reverse=True):
        # Read now: an earlier purge may have changed it.
        manifest = load_manifest(path) if storage.size(path) is not None else None
        if manifest is None:
            log.info("%s is cleaned already.", path)
        elif isinstance(manifest, WalksManifest) and manifest.kind == "calls":
            has_details = any(
                each.is_same(folder) and path.name.startswith("details") for each, path in loaded
            )
            with storage_errors("read", folder.path), WalkedCalls(folder.path, manifest) as calls:
                cleaned.purged += purge_parts(folders, folder, calls)
                with left_alone(strict=False):
                    lost, done = purge_events(root, calls, loaded=has_details and not keep)
                    cleaned.purged, cleaned.loaded = cleaned.purged + lost, cleaned.loaded + done
        if not keep:
            if manifest:
                _mark_loaded(path, manifest)
                cleaned.loaded += 1
            cleaned.loaded += _finish(folder)
    if not keep:
        with left_alone(strict=False):
            cleaned.expired += _expire_events(root, now, max_age)
        for folder in folders:
            with left_alone(strict=False):
                cleaned.loaded += _finish(folder)
                cleaned.expired += _expire(folder, now, max_age)
    log.info(
        "Staging cleaned: %d loaded and %d expired file(s) deleted; calls that TalkPilot purged or "
        "erased taken out of %d.%s",
        cleaned.loaded,
        cleaned.expired,
        cleaned.purged,
        " The rest is kept, as told." if keep else "",
    )
    return cleaned


def _mark_loaded(path: ObjectStoragePath, manifest: Manifest) -> None:
    """Delete a manifest; a copy under another name says which parts have to go.

    No load may find a manifest without its parts.
    """
    name = FileName("loaded", manifest.kind, manifest.digest)
    storage.put_text(manifest.model_dump_json(), path.parent / str(name))
    storage.delete(path)


def _finish(folder: Folder) -> int:
    """Delete the parts of loaded manifests, also where a killed try left some."""
    files = list_files(folder.path)
    loaded = [file for file in files if file.has_role("loaded")]
    if not loaded:
        return 0
    # A task stores its manifest before it deletes its checkpoint: in this order one is seen.
    in_use = _parts_named(folder, "checkpoint") | _parts_named(folder, "manifest")
    leaving = _parts_named(folder, "loaded") - in_use
    parts = [file for file in files if file.path.name in leaving]
    for file in (*parts, *loaded):
        storage.delete(file.path)
    storage.remove_if_empty(folder.path)
    return len(parts)


def _parts_named(folder: Folder, role: str) -> set[str]:
    """Names of the parts that the folder's records of a role name.

    :raises ManifestError: when one of them cannot be read, so that its parts are not known.
    """
    paths = [file.path for file in list_files(folder.path) if file.has_role(role)]
    return {part.name for path in paths if (record := read_manifest(path)) for part in record.parts}


def _expire(folder: Folder, now: datetime, max_age: timedelta) -> int:
    """Delete all our files of abandoned work; of other work, what killed tries left."""
    files = list_files(folder.path)
    if all(file.modified and file.modified < now - max_age for file in files):
        # No load may find a manifest without its parts.
        expired = sorted(files, key=lambda file: file.name.role == "part")
    else:
        old = now - UNFINISHED_AGE
        expired = [f for f in files if f.name.unfinished and f.modified and f.modified < old]
    for file in expired:
        storage.delete(file.path)
    storage.remove_if_empty(folder.path)
    return len(expired)


def _expire_events(root: ObjectStoragePath, now: datetime, max_age: timedelta) -> int:
    """Delete the events of calls that no walk showed, once they are so old."""
    deleted = 0
    for agent_id, days in list_days(root).items():
        for day in days:
            # What came lately is of these days, unless its call's start is wrong.
            if now.date() - max_age < day <= now.date() + timedelta(days=1):
                continue
            folder = inbox_folder(root, agent_id, day)
            for entry in storage.list_entries(folder):
                if not entry.is_folder and (not entry.modified or entry.modified < now - max_age):
                    storage.delete(folder / entry.name)
                    deleted += 1
            storage.remove_if_empty(folder)
    return deleted
