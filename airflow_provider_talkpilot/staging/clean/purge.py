"""Calls that a walk shows to be purged or erased leave the staged files of all other work.

Files of failed runs, of runs still at work and of other DAGs can hold calls as they were before.
Such a part is written anew: a purged call's list row is emptied; its detail, and rows of calls that
are gone, are left out; performance records of either lose what tells of a person. Manifests and
checkpoints that name the part get its new name. So no request is spent twice, and a run that is at
work goes on.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import islice

from pydantic import TypeAdapter, ValidationError

from airflow_provider_talkpilot.compat import ObjectStoragePath
from airflow_provider_talkpilot.staging import storage
from airflow_provider_talkpilot.staging.clean.walked import CallState, Row, WalkedCalls
from airflow_provider_talkpilot.staging.columns import IMPERSONAL
from airflow_provider_talkpilot.staging.errors import ManifestError, storage_errors
from airflow_provider_talkpilot.staging.inventory import File, left_alone, list_files
from airflow_provider_talkpilot.staging.manifests import WalksManifest, read_manifest
from airflow_provider_talkpilot.staging.names import Folder
from airflow_provider_talkpilot.staging.parts import PartWriter, read_records
from airflow_provider_talkpilot.staging.rows import without_personal

# A file that was not written for so long has no writer any more: it was killed.
UNFINISHED_AGE = timedelta(minutes=5)
_ROWS = 1000

_moment = TypeAdapter(datetime).validate_python


def purge_staged(folders: Sequence[Folder], own: Folder, walk: WalksManifest) -> int:
    """Take calls that a walk shows to be purged, or gone, out of all staged files but its own.

    :param folders: all folders of staging.
    :param own: the walk's.
    :param walk: the manifest of a walk that was loaded.
    :return: how many files held such calls.
    :raises StagingError: when the walk cannot be read, or a file in its own folder not be mended.
    """
    walked = {part.name for part in walk.parts}
    parts: list[tuple[Folder, File]] = []
    for folder in folders:
        if not folder.interval.overlaps(walk.interval):
            continue
        with left_alone(strict=folder.is_same(own)):
            parts += [
                (folder, file)
                for file in list_files(folder.path)
                if file.name.role == "part"
                and not (folder.is_same(own) and file.path.name in walked)
            ]
    if not parts:
        return 0
    purged = 0
    with storage_errors("read", own.path), WalkedCalls(own.path, walk) as calls:
        for folder, file in parts:
            with left_alone(strict=folder.is_same(own)), storage_errors("read", file.path):
                purged += _StagedPart(folder.path, file, calls).purge()
    return purged


class _StagedPart:
    def __init__(self, folder: ObjectStoragePath, file: File, calls: WalkedCalls) -> None:
        self._folder, self._file, self._calls = folder, file, calls
        self._kind = file.name.kind

    def purge(self) -> bool:
        """Take out what is purged or gone; tell whether there was any."""
        path, is_unfinished = self._file.path, self._file.name.unfinished
        torn: ManifestError | None = None
        try:
            if all(now is row for row, now in self._rows()):
                return False
        except ManifestError as error:
            if storage.size(path) is None:  # it was deleted meanwhile
                return False
            if is_unfinished and not self._is_abandoned():
                return False
            torn = error
        # No load takes a part that is unfinished or damaged. Written anew it would look whole.
        if is_unfinished or not self._is_intact():
            storage.delete(path)
        elif torn:
            raise torn
        else:
            self._write_anew()
        return True

    def _rows(self) -> Iterator[tuple[Row, Row | None]]:
        """Each row as it is staged, and as it is now: None where nothing of it may stay."""
        for row in read_records(self._file.path):
            state = self._state(row)
            if state is CallState.SAME:
                yield row, row
            elif self._kind == "performance":
                kept = without_personal(row)
                yield row, row if kept == row else kept
            elif state is CallState.PURGED and self._kind == "calls":
                # Without its row the list would say that the call is gone.
                yield row, {name: row.get(name) for name in IMPERSONAL} | {"is_purged": True}
            else:
                yield row, None

    def _state(self, row: Row) -> CallState:
        if self._kind == "rejects":
            record = row.get("record")
            # A reject does not say when it was read: before the file was written.
            record = record if isinstance(record, dict) else {}
            return self._calls.state(record, self._file.modified)
        try:
            return self._calls.state(row, _moment(row.get("synced_at")))
        except ValidationError:
            return self._calls.state(row, None)

    def _is_abandoned(self) -> bool:
        modified = self._file.modified
        return modified is not None and modified < datetime.now(UTC) - UNFINISHED_AGE

    def _is_intact(self) -> bool:
        with storage.open_raw(self._file.path) as raw:
            digest = hashlib.file_digest(raw, "sha256").hexdigest()
        return digest.startswith(self._file.name.checksum)

    def _write_anew(self) -> None:
        # Killed at any moment and run again, this makes the same part under the same name.
        name = self._file.name
        with PartWriter(self._folder, self._kind, first=name.number) as writer:
            rows = (now for _, now in self._rows() if now is not None)
            while some := list(islice(rows, _ROWS)):
                writer.write(some)
            part = writer.flush()
        for file in list_files(self._folder):
            if file.name.role != "part" and not file.name.unfinished:
                with left_alone(strict=False):
                    record = read_manifest(file.path)
                    if record and record.replace_part(self._file.path.name, part):
                        storage.put_text(record.model_dump_json(), file.path)
        storage.delete(self._file.path)
