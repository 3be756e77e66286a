"""The archive: one object a call, whole or not there, named so that it is found again."""

from __future__ import annotations

import hashlib
import logging
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from threading import Lock
from typing import Any, Self
from urllib.request import getproxies

from airflow_provider_talkpilot.api import CallDetail
from airflow_provider_talkpilot.compat import ObjectStoragePath
from airflow_provider_talkpilot.recordings.fetch import Fetched, Fetcher, FetchRules, RecordingError
from airflow_provider_talkpilot.recordings.names import (
    call_of,
    day_of,
    extension_of,
    scheme_of,
    type_of,
    uri_of,
)
from airflow_provider_talkpilot.staging import storage
from airflow_provider_talkpilot.staging.errors import StagingError, storage_errors
from airflow_provider_talkpilot.staging.scratch import temporary_file

log = logging.getLogger(__name__)

_FOLDERS_KEPT = 64
_UNFINISHED_AGE = timedelta(hours=1)
_SOFT = "retentionDurationSeconds"
# What an upload takes of memory: the libraries would read 50 MiB at once.
_UPLOAD_CHUNK = 8 << 20


class RecordingArchive:
    """Archives the recordings of details, from any number of threads. A context manager.

    The address of a recording stays in this process: nothing here writes or logs it.

    :param root: where recordings go; :mod:`names` says how they are called there.
    :param rules: what is fetched.
    :param keep: the recording of a call that began longer ago is not archived; None for no limit.
    """

    def __init__(
        self,
        root: ObjectStoragePath,
        rules: FetchRules,
        keep: timedelta | None = None,
    ) -> None:
        self._root, self._keep = root, keep
        self._fetcher = Fetcher(rules)
        self._listed = lru_cache(_FOLDERS_KEPT)(self._list)
        self._warning = Lock()  # who gets it warns; it is never given back

    def __enter__(self) -> Self:
        _warn_of_copies(self._root)
        if not getproxies().keys().isdisjoint({"https", "all"}):
            log.warning(
                "The environment names a proxy. Recordings do not go through it, because it would "
                "choose the address itself. If this worker reaches the internet through the proxy "
                "alone, they get the status failed. docs/recordings.md says what to allow."
            )
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let what is not archived yet fail soon: the task has little time left."""
        self._fetcher.close()

    def archive(self, call: CallDetail) -> dict[str, Any]:
        """Archive the recording of a call.

        :param call: as its detail came, with the address.
        :return: the columns of :data:`columns.RECORDING` that have a value. It never fails.
        """
        now = datetime.now(UTC)
        if call.is_purged or (self._keep is not None and call.created_at < now - self._keep):
            return {}
        if not call.audio_file_url:
            return {"recording_status": "none"}
        try:
            path, found = self._existing(call) or self._fetch(call, call.audio_file_url)
        except RecordingError as error:
            return {"recording_status": error.status}
        except StagingError as error:
            if self._warning.acquire(blocking=False):
                log.warning("Recordings are not archived, and have the status failed: %s", error)
            return {"recording_status": "failed"}
        return {
            "recording_uri": uri_of(path),
            "recording_bytes": found.bytes,
            "recording_sha256": found.sha256,
            "recording_type": found.type,
            "recording_status": "archived",
            "recording_archived_at": now,
        }

    def _existing(self, call: CallDetail) -> tuple[ObjectStoragePath, Fetched] | None:
        """Find what an earlier try archived: an object is whole, so it is read and not fetched."""
        name = self._listed(day_of(call)).get(call.id)
        if name is None:
            return None
        path = self._root / day_of(call) / name
        with storage_errors("read", path), storage.open_raw(path) as raw:
            digest = hashlib.file_digest(raw, "sha256").hexdigest()
            return path, Fetched(type_of(name), raw.tell(), digest)

    def _fetch(self, call: CallDetail, address: str) -> tuple[ObjectStoragePath, Fetched]:
        with temporary_file() as file:
            fetched = self._fetcher.fetch(address, file)
            path = self._root / day_of(call) / f"{call.id}.{extension_of(fetched.type)}"
            options: dict[str, dict[str, Any]] = {
                "gs": {"content_type": fetched.type, "chunksize": _UPLOAD_CHUNK},
                "s3": {
                    "ContentType": fetched.type,
                    "chunksize": _UPLOAD_CHUNK,
                    "max_concurrency": 1,
                },
            }
            storage.put(file, path, **options.get(scheme_of(path), {}))
        return path, fetched

    def _list(self, day: str) -> dict[str, str]:
        found, old = {}, datetime.now(UTC) - _UNFINISHED_AGE
        for entry in storage.list_entries(self._root / day):
            if call := call_of(entry.name):
                found[call] = entry.name
            elif call_of(entry.name[1:]) and entry.modified and entry.modified < old:
                storage.delete(self._root / day / entry.name)  # of a task that was killed
        return found


def _warn_of_copies(root: ObjectStoragePath) -> None:
    """Say once what of a bucket keeps recordings that are deleted, where the bucket tells it."""
    if scheme_of(root) != "gs":
        return
    try:
        bucket = root.fs.info(root.path.partition("/")[0])
    except Exception as error:  # noqa: BLE001 - it is not needed, and takes a right of its own
        log.info("Cannot read whether the bucket keeps what is deleted: %s.", type(error).__name__)
        return
    kept = [
        what
        for what, is_so in (
            ("soft delete", int((bucket.get("softDeletePolicy") or {}).get(_SOFT, 0)) > 0),
            ("a retention policy", bucket.get("retentionPolicy")),
            ("holds on new objects", bucket.get("defaultEventBasedHold")),
        )
        if is_so
    ]
    if kept:
        log.warning(
            "The bucket of the recordings has %s: recordings of purged calls stay there, or cannot "
            "be deleted at all. docs/privacy.md says what to turn off.",
            " and ".join(kept),
        )
