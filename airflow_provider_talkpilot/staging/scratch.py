"""A private SQLite file, so that memory does not grow with the number of calls."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Iterable
from typing import Any, Self

from airflow_provider_talkpilot.staging.errors import storage_errors


class Scratch:
    """A private SQLite file, gone when closed; a context manager.

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

    def _insert(self, statement: str, rows: Iterable[tuple[Any, ...]]) -> int:
        """Insert rows in one transaction; give how many rows of the table changed."""
        before = self._db.total_changes
        try:
            self._db.execute("BEGIN")
            self._db.executemany(statement, rows)
            self._db.execute("COMMIT")
        except sqlite3.Error:  # the disk is full
            with storage_errors("write", f"a temporary file in {tempfile.gettempdir()}"):
                raise
        return self._db.total_changes - before
