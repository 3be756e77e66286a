"""Part files: one JSON record a line, in UTF-8, each line ended by a line feed.

A part never changes. Its name holds the beginning of its SHA-256, so a reader recognises a file
that is torn or was altered.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import pydantic_core
from pydantic import BaseModel

from airflow_provider_talkpilot.compat import ObjectStoragePath
from airflow_provider_talkpilot.staging import storage
from airflow_provider_talkpilot.staging.errors import ManifestError, storage_errors
from airflow_provider_talkpilot.staging.names import FileName
from airflow_provider_talkpilot.staging.temporary import temporary_errors


class Part(BaseModel):
    """A staged file, as the manifest names it."""

    name: str
    rows: int
    bytes: int
    sha256: str


class PartWriter:
    """Collects records in a local temporary file, and stages them as a part on :meth:`flush`.

    A context manager; at its end, records that were not flushed are gone.

    :param folder: where parts go.
    :param kind: first word of the parts' names, such as ``calls``.
    :param first: number of the first part.
    :ivar rows: rows of the part that is being written.
    :ivar bytes: its bytes.
    """

    def __init__(self, folder: ObjectStoragePath, kind: str, *, first: int = 0) -> None:
        self._folder, self._kind, self._number = folder, kind, first
        with temporary_errors():
            # Without a buffer: closing must not write again what a full disk refused.
            # Without a name: a kill leaves nothing.
            self._spool = tempfile.TemporaryFile(prefix="talkpilot-", buffering=0)  # noqa: SIM115
        self.rows = self.bytes = 0

    def __enter__(self) -> PartWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self._spool.close()

    def write(self, records: Iterable[dict[str, Any]]) -> None:
        """Add records to the part that is being written: all of them or, with an error, none."""
        # JSON escapes line feeds in texts. Other separators, such as U+2028, end no line here.
        lines = [pydantic_core.to_json(record) + b"\n" for record in records]
        content = b"".join(lines)
        rest = memoryview(content)
        with temporary_errors():
            self._spool.seek(self.bytes)
            while rest:
                rest = rest[self._spool.write(rest) :]
        self.rows, self.bytes = self.rows + len(lines), self.bytes + len(content)

    @contextmanager
    def all_or_nothing(self) -> Iterator[None]:
        """Drop the records that the block has written if an error ends it.

        The block must not flush.
        """
        before = self.rows, self.bytes
        try:
            yield
        except BaseException:
            self.rows, self.bytes = before
            raise

    def flush(self) -> Part | None:
        """Stage the records as one part, and begin the next part.

        :return: the part; None if there are no records.
        :raises StagingError: when it cannot be staged; then nothing is stored under its name.
        """
        if not self.rows:
            return None
        with storage_errors("stage", f"a part in {self._folder}"):
            self._spool.truncate(self.bytes)
            self._spool.seek(0)
            sha256 = hashlib.file_digest(self._spool, "sha256").hexdigest()
            name = str(FileName("part", self._kind, sha256, self._number))
            part = Part(name=name, rows=self.rows, bytes=self.bytes, sha256=sha256)
            storage.put(self._spool, self._folder / name)
        self._number += 1
        self.rows = self.bytes = 0
        return part


def read_records(path: ObjectStoragePath) -> Iterator[dict[str, Any]]:
    """Read a part's records one by one.

    :raises ManifestError: when the file is gone or torn.
    """
    try:
        with storage.open_raw(path) as raw:
            for line in raw:
                yield pydantic_core.from_json(line)
    except ValueError:
        raise ManifestError(
            f"The staged file {path} is torn or was altered: run the task that staged it again."
        ) from None


def read_intact(path: ObjectStoragePath) -> tuple[Part, list[dict[str, Any]]] | None:
    """Read a small part as a whole, if its bytes have the checksum in its name.

    :return: the part and its records; None if it is torn, altered or gone.
    """
    try:
        with storage.open_raw(path) as raw:
            content = raw.read()
    except ManifestError:
        return None
    sha256 = hashlib.sha256(content).hexdigest()
    name = FileName.parse(path.name)
    if name is None or not sha256.startswith(name.checksum):
        return None
    records = [pydantic_core.from_json(line) for line in content.splitlines()]
    return Part(name=path.name, rows=len(records), bytes=len(content), sha256=sha256), records
