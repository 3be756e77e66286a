"""What a walk says of each call: that it is there, that it is purged, or that it is gone.

The calls are in a private SQLite file, so its memory does not grow with their number.
"""

from __future__ import annotations

import sqlite3
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from enum import Enum
from typing import Any, Self

from pydantic import TypeAdapter, ValidationError

from airflow_provider_talkpilot.api.models import LenientFlag
from airflow_provider_talkpilot.api.moments import read_moment
from airflow_provider_talkpilot.staging.errors import ManifestError, storage_errors
from airflow_provider_talkpilot.staging.manifests import CallsManifest
from airflow_provider_talkpilot.staging.names import Folder
from airflow_provider_talkpilot.staging.parts import read_records

Row = dict[str, Any]


class Fate(Enum):
    """What became of a call since a row of it was staged."""

    STAYS = "stays"
    PURGED = "purged"
    GONE = "gone"


class WalkedCalls:
    """The calls of a walk; a context manager.

    :param folder: where the walk's parts are.
    :param walk: its manifest.
    :raises ManifestError: when the parts are not what the manifest says.
    """

    def __init__(self, folder: Folder, walk: CallsManifest) -> None:
        self._interval = walk.interval
        # The empty name is SQLite's own temporary file, gone when closed.
        self._db = sqlite3.connect("", isolation_level=None)
        self._db.execute("CREATE TABLE calls (id TEXT PRIMARY KEY, purged INTEGER) WITHOUT ROWID")
        self._add(_listed(folder, walk))
        if self._db.total_changes != walk.rows:
            raise ManifestError(
                f"The parts in {folder.path} do not hold what their manifest says: run the task "
                "that staged them again."
            )
        recognised = Counter[str]()
        self._add(_rejected(folder, walk, recognised))
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

    def fate(self, row: Row, read_at: datetime | None) -> Fate:
        """What the walk says of a staged row.

        :param row: a list row, a detail's row, or a record that did not fit.
        :param read_at: when it was read from TalkPilot, if that is known.
        """
        call_id = row.get("id")
        if not isinstance(call_id, str) or row.get("detail_found") is False:  # nobody's data
            return Fate.STAYS
        # As the rows have it: a record that did not fit is as it came.
        ids = (call_id.lower(),)
        found = self._db.execute("SELECT purged FROM calls WHERE id = ?", ids).fetchone()
        if found is None:
            return Fate.GONE if self._is_gone(row, read_at) else Fate.STAYS
        return Fate.PURGED if found[0] and row.get("is_purged") is not True else Fate.STAYS

    def _is_gone(self, row: Row, read_at: datetime | None) -> bool:
        walked_at = self._walked_at.get(str(row.get("agent_id")).lower())
        try:
            created_at = read_moment(row.get("created_at"))
        except ValueError:
            return False
        return (
            walked_at is not None
            and read_at is not None
            and read_at < walked_at
            and created_at in self._interval
        )

    def _add(self, calls: Iterator[tuple[str, bool]]) -> None:
        try:
            self._db.execute("BEGIN")
            self._db.executemany("INSERT OR REPLACE INTO calls VALUES (?, ?)", calls)
            self._db.execute("COMMIT")
        except sqlite3.Error:  # the disk is full
            with storage_errors("write", f"a temporary file in {tempfile.gettempdir()}"):
                raise


def _listed(folder: Folder, walk: CallsManifest) -> Iterator[tuple[str, bool]]:
    for part in walk.parts:
        for row in read_records(folder.path / part.name):
            yield row["id"], row.get("is_purged") is True


def _rejected(
    folder: Folder, walk: CallsManifest, recognised: Counter[str]
) -> Iterator[tuple[str, bool]]:
    """The walk's records that did not fit and have an id all the same, counted by agent."""
    for part in walk.rejects:
        with suppress(ManifestError):  # somebody looked at them, and deleted them
            for reject in read_records(folder.path / part.name):
                record = reject["record"]
                call_id = record.get("id") if isinstance(record, dict) else None
                if isinstance(call_id, str):
                    recognised[reject["agent_id"]] += 1
                    yield call_id.lower(), _says_yes(record.get("is_purged"))


def _says_yes(value: Any) -> bool:
    """Whether a flag says yes in any form, as the model of a call reads it."""
    try:
        return bool(_flag(value))
    except ValidationError:
        return False


_flag = TypeAdapter(LenientFlag).validate_python
