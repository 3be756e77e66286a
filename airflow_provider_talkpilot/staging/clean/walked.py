"""What a walk proves about a call that is staged elsewhere: unchanged, purged or gone."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from enum import Enum
from typing import Any

from airflow_provider_talkpilot.api.interval import read_moment
from airflow_provider_talkpilot.compat import ObjectStoragePath
from airflow_provider_talkpilot.staging.errors import ManifestError
from airflow_provider_talkpilot.staging.manifests import ListManifest
from airflow_provider_talkpilot.staging.parts import read_records
from airflow_provider_talkpilot.staging.temporary import TemporaryDatabase

Row = dict[str, Any]


class CallState(Enum):
    """What happened to a call since a row of it was staged."""

    SAME = "same"
    PURGED = "purged"
    GONE = "gone"


class WalkedCalls(TemporaryDatabase):
    """The calls of a walk; a context manager.

    :param folder: where the walk's parts are.
    :param walk: its manifest.
    :raises ManifestError: when the parts are not what the manifest says.
    """

    def __init__(self, folder: ObjectStoragePath, walk: ListManifest) -> None:
        super().__init__(
            "CREATE TABLE calls (id TEXT PRIMARY KEY, purged INTEGER, call_id TEXT) WITHOUT ROWID;"
            "CREATE INDEX by_call_id ON calls (call_id)"
        )
        self.folder, self.walk = folder, walk
        inserted = self._insert(
            "INSERT OR REPLACE INTO calls VALUES (?, ?, ?)", _rows(folder, walk)
        )
        if inserted != walk.rows:
            raise ManifestError(
                f"The parts in {folder} do not hold what their manifest says: run the task "
                "that staged them again."
            )
        # A selection does not show which calls are gone. Nor does an agent's walk with a reject:
        # that may be any call. The load reads a walk in the same way.
        self._began_at = {
            agent.agent_id.lower(): agent.began_at
            for agent in walk.agents
            if not walk.selection and not agent.rejected
        }

    def has(self, call_id: str) -> bool:
        """Return whether the walk has a call with this id of LiveKit's."""
        return self._is_purged("call_id", call_id) is not None

    def state(self, row: Row, read_at: datetime | None) -> CallState:
        """Return what happened to a call since a row of it was staged.

        :param row: a list row, a detail's row, a performance record's, or a record that failed
            validation. A performance record has an id of its own, and leads to its call by
            ``call_id``.
        :param read_at: when the row was read from TalkPilot; None where that is not known.
        """
        record_id, call_id = row.get("id"), row.get("call_id")
        if not isinstance(record_id, str) or row.get("detail_found") is False:
            return CallState.SAME  # the row has no data of a caller, or does not say of which call
        # Rows have ids in lower case. A record that failed validation has its id as it came.
        is_purged = self._is_purged("id", record_id.lower())
        if is_purged is None and isinstance(call_id, str):
            is_purged = self._is_purged("call_id", call_id)
        if is_purged is None:
            return CallState.GONE if self._is_gone(row, read_at) else CallState.SAME
        was_purged = row.get("is_purged") is True
        return CallState.PURGED if is_purged and not was_purged else CallState.SAME

    def _is_purged(self, column: str, value: str) -> bool | None:
        """Return whether a call of the walk is purged; None where the walk has no such call."""
        query = f"SELECT purged FROM calls WHERE {column} = ?"  # noqa: S608
        found = self._db.execute(query, (value,)).fetchone()
        return bool(found[0]) if found else None

    def _is_gone(self, row: Row, read_at: datetime | None) -> bool:
        """Return whether the walk would have the row's call, if TalkPilot still had it."""
        began_at = self._began_at.get(str(row.get("agent_id")).lower())
        if read_at is None or began_at is None or read_at >= began_at:
            return False
        try:
            return read_moment(row.get("created_at")) in self.walk.interval
        except ValueError:
            return False


def _rows(folder: ObjectStoragePath, walk: ListManifest) -> Iterator[tuple[str, bool, str | None]]:
    for part in walk.parts:
        for row in read_records(folder / part.name):
            yield row["id"], row.get("is_purged") is True, row.get("call_id")
