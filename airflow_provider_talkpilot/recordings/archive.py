"""The archive of recordings: one object a call, which is whole or is not there."""

from __future__ import annotations

import hashlib
import logging
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from threading import Lock
from typing import Any
from urllib.request import getproxies

from airflow_provider_talkpilot.api import CallDetail
from airflow_provider_talkpilot.compat import ObjectStoragePath
from airflow_provider_talkpilot.recordings.fetch import Fetched, Fetcher, RecordingError
from airflow_provider_talkpilot.recordings.names import (
    call_of,
    day_folder,
    extension_of,
    scheme_of,
    type_of,
    uri_of,
)
from airflow_provider_talkpilot.staging import storage
from airflow_provider_talkpilot.staging.errors import StagingError, storage_errors
from airflow_provider_talkpilot.staging.temporary import temporary_file

log = logging.getLogger(__name__)

MAX_BYTES = 500_000_000
_FOLDERS_KEPT = 64
_UNFINISHED_AGE = timedelta(hours=1)
# The memory that an upload takes: the libraries would read 50 MiB at once.
_UPLOAD_CHUNK = 8 << 20


class RecordingArchive:
    """Archives the recordings of details, from any number of threads.

    The address of a recording stays in this process: nothing here writes or logs it. Logs a warning
    of a proxy, and of a bucket that keeps deleted objects.

    :param root: where recordings go; :mod:`names` names them there.
    :param keep: the recording of a call that began longer ago is not archived; None for no limit.
    :param max_bytes: a larger recording is not archived.
    :param allow_loopback: fetch from this machine too, and over plain http: for the sandbox.
    """

    def __init__(
        self,
        root: ObjectStoragePath,
        *,
        keep: timedelta | None = None,
        max_bytes: int = MAX_BYTES,
        allow_loopback: bool = False,
    ) -> None:
        self._root, self._keep = root, keep
        self._fetcher = Fetcher(max_bytes, allow_loopback=allow_loopback)
        self._listed = lru_cache(_FOLDERS_KEPT)(self._list)
        self._warning = Lock()  # the thread that acquires it logs the warning, and keeps it
        _warn_of_copies(root)
        if not getproxies().keys().isdisjoint({"https", "all"}):
            log.warning(
                "The environment names a proxy. Recordings do not go through it, because it would "
                "choose the address itself. If this worker reaches the internet through the proxy "
                "alone, they get the status failed. docs/recordings.md says what to allow."
            )

    def close(self) -> None:
        """Make all recordings under way fail soon, because the task has little time left."""
        self._fetcher.close()

    def archive(self, call: CallDetail) -> dict[str, Any]:
        """Archive the recording of a call. It never fails.

        :param call: its detail as the API sent it, with the address.
        :return: the columns of :data:`columns.RECORDING_COLUMNS` that have a value.
        """
        now = datetime.now(UTC)
        if call.is_purged or (self._keep is not None and call.created_at < now - self._keep):
            return {}
        if not call.audio_file_url:
            return {"recording_status": "none"}
        try:
            path, recording = self._find(call) or self._fetch(call, call.audio_file_url)
        except RecordingError as error:
            return {"recording_status": error.status}
        except StagingError as error:
            if self._warning.acquire(blocking=False):
                log.warning("Recordings are not archived, and have the status failed: %s", error)
            return {"recording_status": "failed"}
        return {
            "recording_uri": uri_of(path),
            "recording_bytes": recording.bytes,
            "recording_sha256": recording.sha256,
            "recording_type": recording.type,
            "recording_status": "archived",
            "recording_archived_at": now,
        }

    def _find(self, call: CallDetail) -> tuple[ObjectStoragePath, Fetched] | None:
        """Find the object that an earlier try archived; it is whole."""
        day = day_folder(call.agent_id, call.created_at)
        name = self._listed(day).get(call.id)
        if name is None:
            return None
        path = self._root / day / name
        with storage_errors("read", path), storage.open_raw(path) as raw:
            digest = hashlib.file_digest(raw, "sha256").hexdigest()
            return path, Fetched(type_of(name), raw.tell(), digest)

    def _fetch(self, call: CallDetail, address: str) -> tuple[ObjectStoragePath, Fetched]:
        with temporary_file() as file:
            fetched = self._fetcher.fetch(address, file)
            name = f"{call.id}.{extension_of(fetched.type)}"
            path = self._root / day_folder(call.agent_id, call.created_at) / name
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
        """Return the names of a day's recordings by call; delete what killed tasks left."""
        names, old = {}, datetime.now(UTC) - _UNFINISHED_AGE
        for entry in storage.list_entries(self._root / day):
            if call_id := call_of(entry.name):
                names[call_id] = entry.name
            elif call_of(entry.name[1:]) and entry.modified and entry.modified < old:
                storage.delete(self._root / day / entry.name)
        return names


def _warn_of_copies(root: ObjectStoragePath) -> None:
    """Log a warning of settings of a ``gs://`` bucket that keep deleted recordings."""
    if scheme_of(root) != "gs":
        return
    try:
        bucket = root.fs.info(root.path.partition("/")[0])
    except Exception as error:  # noqa: BLE001 - the warning takes a permission that nothing else does
        log.info("Cannot read whether the bucket keeps what is deleted: %s.", type(error).__name__)
        return
    soft_delete = (bucket.get("softDeletePolicy") or {}).get("retentionDurationSeconds", 0)
    settings = {
        "soft delete": int(soft_delete) > 0,
        "a retention policy": bucket.get("retentionPolicy"),
        "holds on new objects": bucket.get("defaultEventBasedHold"),
    }
    if kept_by := [name for name, is_set in settings.items() if is_set]:
        log.warning(
            "The bucket of the recordings has %s: recordings of purged calls stay there, or cannot "
            "be deleted at all. docs/privacy.md says what to turn off.",
            " and ".join(kept_by),
        )
