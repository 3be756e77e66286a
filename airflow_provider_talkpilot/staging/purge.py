"""What a walk shows to be purged or erased leaves the staged files of all other work too.

Files of failed runs, of runs still at work and of other DAGs can hold calls as they were before.
Such a part is written anew: a purged call's list row is emptied, its detail and rows of calls that
are gone are left out. Whatever names the part is told the new name. So no request is spent twice,
and a run that is at work goes on.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import islice

from pydantic import TypeAdapter, ValidationError

from airflow_provider_talkpilot.staging import storage
from airflow_provider_talkpilot.staging.columns import IMPERSONAL
from airflow_provider_talkpilot.staging.errors import ManifestError, storage_errors
from airflow_provider_talkpilot.staging.inventory import File, left_alone, list_files
from airflow_provider_talkpilot.staging.manifests import CallsManifest, read_record
from airflow_provider_talkpilot.staging.names import Folder
from airflow_provider_talkpilot.staging.parts import Part, PartWriter, read_records
from airflow_provider_talkpilot.staging.walked import Fate, Row, WalkedCalls

# Nobody writes a part for so long: who did was killed.
UNFINISHED_AGE = timedelta(minutes=5)
_ROWS = 1000

_moment = TypeAdapter(datetime).validate_python


def purge_staged(folders: Sequence[Folder], own: Folder, walk: CallsManifest) -> int:
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
    with storage_errors("read", own.path), WalkedCalls(own, walk) as calls:
        for folder, file in parts:
            with left_alone(strict=folder.is_same(own)), storage_errors("read", file.path):
                purged += _StagedPart(folder, file, calls).purge()
    return purged


class _StagedPart:
    def __init__(self, folder: Folder, file: File, calls: WalkedCalls) -> None:
        self._folder, self._file, self._name, self._calls = folder, file, file.name, calls

    def purge(self) -> bool:
        """Take out what is purged or gone; tell whether there was any."""
        file = self._file
        torn: ManifestError | None = None
        try:
            if all(now is row for row, now in self._rows()):
                return False
        except ManifestError as error:
            if storage.size(file.path) is None:  # it went meanwhile
                return False
            torn = error
        if file.name.unfinished:
            if torn and not self._is_abandoned():
                return False
            storage.delete(file.path)
        elif not self._is_intact():
            # Nobody can load it. Written anew it would look as if it were whole.
            storage.delete(file.path)
        elif torn:
            raise torn
        else:
            self._write_anew()
        return True

    def _rows(self) -> Iterator[tuple[Row, Row | None]]:
        """Each row, and what stands for it now."""
        for row in read_records(self._file.path):
            yield row, self._now(row)

    def _now(self, row: Row) -> Row | None:
        fate = self._fate(row)
        if fate is Fate.STAYS:
            return row
        if fate is Fate.PURGED and self._name.kind == "calls":
            # Without its row the list would say that the call is gone.
            return {name: row.get(name) for name in IMPERSONAL} | {"is_purged": True}
        return None

    def _fate(self, row: Row) -> Fate:
        if self._name.kind != "rejects":
            return self._calls.fate(row, _read_at(row))
        record = row.get("record")
        if not isinstance(record, dict):
            return Fate.STAYS
        # Nobody wrote down when it was read: before the file was written.
        return self._calls.fate(record, self._file.modified)

    def _is_abandoned(self) -> bool:
        modified = self._file.modified
        return modified is not None and modified < datetime.now(UTC) - UNFINISHED_AGE

    def _is_intact(self) -> bool:
        with storage.open_raw(self._file.path) as raw:
            digest = hashlib.file_digest(raw, "sha256").hexdigest()
        return digest.startswith(self._name.checksum)

    def _write_anew(self) -> None:
        # Cut anywhere, doing it again makes the same part under the same name.
        dropped = Counter[str]()
        with PartWriter(
            self._folder.path,
            self._name.kind,
            compress=self._name.compressed,
            first=self._name.number,
        ) as writer:
            rows = self._rows()
            while some := list(islice(rows, _ROWS)):
                dropped.update(str(row["agent_id"]) for row, now in some if now is None)
                writer.write(now for _, now in some if now is not None)
            part = writer.flush()
        for file in list_files(self._folder.path):
            if file.name.role != "part" and not file.name.unfinished:
                with left_alone(strict=False):
                    self._rename_in(file, part, dropped)
        storage.delete(self._file.path)

    def _rename_in(self, file: File, part: Part | None, dropped: Counter[str]) -> None:
        record = read_record(file.path)
        if record and record.replace_part(self._name.kind, self._file.path.name, part, dropped):
            storage.put_text(record.model_dump_json(), file.path)


def _read_at(row: Row) -> datetime | None:
    try:
        return _moment(row.get("synced_at"))
    except ValidationError:
        return None
