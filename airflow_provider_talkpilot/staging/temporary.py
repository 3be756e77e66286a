"""Temporary files, so that memory does not grow with the number of calls."""

from __future__ import annotations

import io
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Self

from airflow_provider_talkpilot.staging.errors import StagingError


@contextmanager
def temporary_errors() -> Iterator[None]:
    """Turn an error of a temporary file into one line that names the cure.

    :raises StagingError: instead of an error of the system or of SQLite inside the block.
    """
    try:
        yield
    except (OSError, sqlite3.Error) as error:
        # tempfile.gettempdir() raises if no folder can be used.
        place = f" in {tempfile.tempdir}" if tempfile.tempdir else ""
        cause = f"{type(error).__name__}: {error}".splitlines()[0]
        raise StagingError(
            f"Cannot write a temporary file{place} ({cause}). Check that there is space left, or "
            "set TMPDIR on all workers to a folder that they may write to. What was staged before "
            "is kept, and the next try goes on from it."
        ) from error


@contextmanager
def temporary_file() -> Iterator[io.BufferedRandom]:
    """Create a temporary file without a name, so that a kill leaves nothing.

    :raises StagingError: when no folder can be written to.
    """
    with temporary_errors():
        file = tempfile.TemporaryFile(prefix="talkpilot-")  # noqa: SIM115 - closed below
    try:
        yield file
    finally:
        with suppress(OSError):  # closing tries again to write what a full disk refused
            file.close()


class TemporaryDatabase:
    """A private SQLite file, which is gone when closed; a context manager.

    :param schema: the statements that create its tables.
    """

    def __init__(self, schema: str) -> None:
        # The empty name is SQLite's own temporary file.
        self._db = sqlite3.connect("", isolation_level=None)
        self._db.executescript(schema)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._db.close()

    def _insert(self, statement: str, rows: Iterable[tuple[Any, ...] | dict[str, Any]]) -> int:
        """Insert rows in one transaction; return how many rows of the table changed."""
        before = self._db.total_changes
        try:
            self._db.execute("BEGIN")
            self._db.executemany(statement, rows)
            self._db.execute("COMMIT")
        except sqlite3.Error:  # an OSError comes from the iterator of the rows
            with temporary_errors():
                raise
        return self._db.total_changes - before
