"""The last step of a run: it deletes from staging what is loaded, purged or abandoned.

A killed clean can leave parts whose manifest is gone. So a manifest is not deleted at first, but
renamed, such as to ``calls-loaded-…``, and is deleted after its parts. Every later clean finishes
that work, and no load ever finds a manifest whose parts are gone.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
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
from airflow_provider_talkpilot.staging.inventory import find_folders, list_files, skip_errors
from airflow_provider_talkpilot.staging.manifests import (
    DetailsManifest,
    load_manifest,
    read_manifest,
)
from airflow_provider_talkpilot.staging.names import FileName, Folder, inbox_folder

log = logging.getLogger(__name__)

MAX_AGE = timedelta(days=7)


def clean_staging(
    root: ObjectStoragePath,
    manifests: Sequence[ObjectStoragePath],
    *,
    keep: bool = False,
    max_age: timedelta = MAX_AGE,
) -> dict[str, int]:
    """Clean after a run whose manifests were loaded.

    It may be killed at any moment and run again, and may run beside runs that are at work.

    :param root: the root of staging.
    :param manifests: what the run staged and loaded.
    :param keep: remove only calls that are purged or gone.
    :param max_age: a folder expires when no file in it was written for so long.
    :return: how many files were cleaned, events of the inbox included: ``loaded`` and ``expired``
        ones were deleted, ``purged`` ones held calls that are purged or gone and were deleted or
        rewritten.
    :raises StagingUriError: when a manifest is not below the root.
    :raises StagingError: when what the run staged cannot be cleaned. Errors in other folders are
        logged.
    """
    oldest, cleaned = datetime.now(UTC) - max_age, Counter(loaded=0, purged=0, expired=0)
    loaded = [(Folder.of_manifest(path, root), path) for path in manifests]
    folders = find_folders(root)
    inbox_read_at = dict[str, datetime | None]()  # by folder
    # Details first: once deleted, they need not be searched for calls that the walk lacks.
    for folder, path in sorted(loaded, key=lambda item: item[1].name, reverse=True):
        # Read it now, because an earlier purge may have changed it.
        manifest = load_manifest(path) if storage.size(path) is not None else None
        if manifest is None:
            log.info("%s is cleaned already.", path)
        elif isinstance(manifest, DetailsManifest):
            inbox_read_at[folder.path.path] = manifest.inbox_read_at
        elif manifest.kind == "calls":
            came_before = None if keep else inbox_read_at.get(folder.path.path)
            with storage_errors("read", folder.path), WalkedCalls(folder.path, manifest) as calls:
                cleaned["purged"] += purge_parts(folders, folder, calls)
                with skip_errors():
                    cleaned.update(purge_events(root, calls, came_before))
        if manifest and not keep:
            name = FileName("loaded", manifest.kind, manifest.digest)
            storage.put_text(manifest.model_dump_json(), folder.path / str(name))
            storage.delete(path)
        if not keep:
            cleaned["loaded"] += _delete_loaded(folder)
    if not keep:
        with skip_errors():
            cleaned["expired"] += _expire_events(root, oldest)
        for folder in folders:
            with skip_errors():
                cleaned["loaded"] += _delete_loaded(folder)
                cleaned["expired"] += _expire(folder, oldest)
    log.info(
        "Staging cleaned: %d loaded and %d expired file(s) deleted; calls that TalkPilot purged or "
        "erased removed from %d file(s).%s",
        cleaned["loaded"],
        cleaned["expired"],
        cleaned["purged"],
        " The rest is kept, because keep is set." if keep else "",
    )
    return dict(cleaned)


def _delete_loaded(folder: Folder) -> int:
    """Delete the loaded manifests of a folder and their parts; return how many files these were.

    A part stays while another manifest or a checkpoint names it.
    """
    files = list_files(folder.path)
    loaded = [file.path for file in files if file.has_role("loaded")]
    if not loaded:
        return 0
    # A task stores its manifest before it deletes its checkpoint: in this order one is seen.
    in_use = _parts_named(folder, "checkpoint") | _parts_named(folder, "manifest")
    unused = _parts_named(folder, "loaded") - in_use
    parts = [file.path for file in files if file.path.name in unused]
    for path in (*parts, *loaded):
        storage.delete(path)
    storage.remove_if_empty(folder.path)
    return len(parts) + len(loaded)


def _parts_named(folder: Folder, role: str) -> set[str]:
    """Return the names of the parts that the folder's manifests of a role name.

    :raises ManifestError: when one of them cannot be read, so that its parts are not known.
    """
    paths = [file.path for file in list_files(folder.path) if file.has_role(role)]
    manifests = [manifest for path in paths if (manifest := read_manifest(path))]
    return {part.name for manifest in manifests for part in manifest.parts}


def _expire(folder: Folder, oldest: datetime) -> int:
    """Delete the files of an abandoned folder; of any other, the unfinished files of killed tasks.

    :param oldest: a folder with a file that was written later is not abandoned.
    :return: how many files were deleted.
    """
    files = list_files(folder.path)
    if all(file.modified and file.modified < oldest for file in files):
        # Parts last: no load may find a manifest whose parts are gone.
        expired = sorted(files, key=lambda file: file.name.role == "part")
    else:
        old = datetime.now(UTC) - UNFINISHED_AGE
        expired = [f for f in files if f.name.unfinished and f.modified and f.modified < old]
    for file in expired:
        storage.delete(file.path)
    storage.remove_if_empty(folder.path)
    return len(expired)


def _expire_events(root: ObjectStoragePath, oldest: datetime) -> int:
    """Delete older events, of calls that no walk showed; return how many."""
    deleted, tomorrow = 0, datetime.now(UTC).date() + timedelta(days=1)
    for agent_id, days in list_days(root).items():
        for day in days:
            # Recent events are filed under recent days. A call's start that is wrong can file one
            # under a day to come.
            if oldest.date() < day <= tomorrow:
                continue
            folder = inbox_folder(root, agent_id, day)
            for entry in storage.list_entries(folder):
                if not entry.is_folder and (not entry.modified or entry.modified < oldest):
                    storage.delete(folder / entry.name)
                    deleted += 1
            storage.remove_if_empty(folder)
    return deleted
