"""What a walk says of each call: that it is there, that it is purged, or that it is gone.

The answers come from a private SQLite file, so its memory does not grow with the number of calls.
"""

from __future__ import annotations

import sqlite3
import tempfile
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from typing import Any, Self

import pydantic_core
from pydantic import TypeAdapter, ValidationError

from airflow_provider_talkpilot.staging.errors import ManifestError, storage_errors
from airflow_provider_talkpilot.staging.inventory import Folder
from airflow_provider_talkpilot.staging.manifest import Manifest
from airflow_provider_talkpilot.staging.parts import read_records

Row = dict[str, Any]

# `purged` holds the list row of a purged call, and is null for the others.
_SCHEMA = "CREATE TABLE calls (id TEXT PRIMARY KEY, purged TEXT) WITHOUT ROWID"
_ADD = "INSERT OR REPLACE INTO calls VALUES (?, ?)"
_FIND = "SELECT purged FROM calls WHERE id = ?"
_NO_ROW = ""

_moment = TypeAdapter(datetime).validate_python


class WalkedCalls:
    """The calls of a walk; a context manager.

    :param folder: where the walk's parts are.
    :param walk: its manifest.
    :raises ManifestError: when a part is not what the manifest says.
    """

    def __init__(self, folder: Folder, walk: Manifest) -> None:
        self._interval = walk.interval
        # The empty name is SQLite's own temporary file, gone when closed.
        self._db = sqlite3.connect("", isolation_level=None)
        self._db.execute(_SCHEMA)
        self._add(_listed(folder, walk))
        if self._db.execute("SELECT count(*) FROM calls").fetchone()[0] != walk.rows:
            raise ManifestError(
                f"The parts in {folder.path} do not hold what their manifest says: run the task "
                "that staged them again."
            )
        rejected = list(_rejected(folder, walk))
        self._add((call_id, _NO_ROW if purged else None) for call_id, _, purged in rejected)
        recognised = Counter(agent_id for _, agent_id, _ in rejected)
        # A selection does not show who is gone, and neither do records that nobody can tell.
        self._walked_at = {
            agent.agent_id.lower(): agent.walked_at
            for agent in walk.agents
            if not walk.selection and recognised[agent.agent_id] >= agent.rejected
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._db.close()

    def now(self, row: Row, read_at: datetime | None) -> Row | None:
        """What stands for a staged row now: itself, the purged call's list row, or nothing.

        :param row: a list row, a detail's row, or a rejected record.
        :param read_at: when it was read from TalkPilot, if that is known.
        """
        call_id = row.get("id")
        if not isinstance(call_id, str) or row.get("detail_found") is False:  # nobody's data
            return row
        found = self._db.execute(_FIND, (call_id,)).fetchone()
        if found is None:
            return None if self._is_gone(row, read_at) else row
        [purged] = found
        if purged is None or row.get("is_purged") is True:
            return row
        return None if purged == _NO_ROW else pydantic_core.from_json(purged)

    def _is_gone(self, row: Row, read_at: datetime | None) -> bool:
        walked_at = self._walked_at.get(str(row.get("agent_id")).lower())
        try:
            created_at = _moment(row.get("created_at"))
        except ValidationError:
            return False
        return (
            walked_at is not None
            and read_at is not None
            and created_at.tzinfo is not None
            and created_at in self._interval
            and read_at < walked_at
        )

    def _add(self, calls: Iterator[tuple[str, str | None]]) -> None:
        with storage_errors("write", f"a temporary file in {tempfile.gettempdir()}"):
            self._db.execute("BEGIN")
            self._db.executemany(_ADD, calls)
            self._db.execute("COMMIT")


def _listed(folder: Folder, walk: Manifest) -> Iterator[tuple[str, str | None]]:
    for part in walk.parts:
        for row in read_records(folder.path / part.name):
            purged = row.get("is_purged") is True
            yield row["id"], pydantic_core.to_json(row).decode() if purged else None


def _rejected(folder: Folder, walk: Manifest) -> Iterator[tuple[str, str, bool]]:
    """Id, agent and purge of the walk's records that did not fit and have an id all the same."""
    for part in walk.rejects:
        for reject in read_records(folder.path / part.name):
            record = reject["record"]
            call_id = record.get("id") if isinstance(record, dict) else None
            if isinstance(call_id, str):
                yield call_id, reject["agent_id"], record.get("is_purged") is True
