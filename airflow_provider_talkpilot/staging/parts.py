"""Part files: one JSON record a line, UTF-8, ended by a line feed alone; named by their checksum.

A part is immutable and its name holds the SHA-256 of its bytes, so that its reader recognises a
torn or altered file without further bookkeeping.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import pydantic_core
from pydantic import BaseModel

from airflow_provider_talkpilot.compat import ObjectStoragePath
from airflow_provider_talkpilot.staging import storage
from airflow_provider_talkpilot.staging.errors import ManifestError, storage_errors
from airflow_provider_talkpilot.staging.names import FileName
from airflow_provider_talkpilot.staging.scratch import temporary_errors


class Part(BaseModel):
    """A staged file as the manifest names it."""

    name: str
    rows: int
    bytes: int
    sha256: str


class Mark(NamedTuple):
    """How much was written at a moment; :meth:`PartWriter.rollback` drops what came after it."""

    bytes: int
    rows: int


class PartWriter:
    """Collects records in a local temporary file and stages it as a part when told.

    Use as a context manager; what was not flushed is gone at its end.

    :param folder: where parts go.
    :param kind: first word of the parts' names, such as ``calls``.
    :param first: number of the first part.
    """

    def __init__(self, folder: ObjectStoragePath, kind: str, *, first: int = 0) -> None:
        self._folder, self._kind, self._number = folder, kind, first
        with temporary_errors():
            # No buffer: what a full disk refused must not be written again by a rollback or close.
            # No name: a kill leaves nothing.
            self._spool = tempfile.TemporaryFile(prefix="talkpilot-", buffering=0)  # noqa: SIM115
        self._end = Mark(0, 0)

    def __enter__(self) -> PartWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self._spool.close()

    @property
    def rows(self) -> int:
        return self._end.rows

    @property
    def bytes(self) -> int:
        """Bytes of the part being written."""
        return self._end.bytes

    def write(self, records: Iterable[dict[str, Any]]) -> None:
        """Add records to the part being written: all of them or, with an error, none."""
        # JSON escapes line feeds inside texts; other separators such as U+2028 end no line here.
        lines = [pydantic_core.to_json(record) + b"\n" for record in records]
        content = b"".join(lines)
        rest = memoryview(content)
        with temporary_errors():
            self._spool.seek(self.bytes)
            while rest:
                rest = rest[self._spool.write(rest) :]
        self._end = Mark(self.bytes + len(content), self.rows + len(lines))

    def mark(self) -> Mark:
        """Give the point that has been reached."""
        return self._end

    def rollback(self, mark: Mark) -> None:
        """Drop what was written since ``mark``; no part may have been flushed meanwhile."""
        self._end = mark

    def flush(self) -> Part | None:
        """Stage what was written as one part and begin the next.

        :return: the part; None where nothing was written.
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
        self._end = Mark(0, 0)
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
    """Read a small part whole, if its bytes are the ones its name promises.

    :return: the part and its records; None where it is torn, altered or gone.
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
