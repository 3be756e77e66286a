"""What a walk says of each call: that it is as it was, that it is purged, or that it is gone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from enum import Enum
from typing import Any

from pydantic import TypeAdapter, ValidationError

from airflow_provider_talkpilot.api.interval import read_moment
from airflow_provider_talkpilot.api.models import LenientFlag
from airflow_provider_talkpilot.compat import ObjectStoragePath
from airflow_provider_talkpilot.staging.errors import ManifestError
from airflow_provider_talkpilot.staging.manifests import WalksManifest
from airflow_provider_talkpilot.staging.parts import read_records
from airflow_provider_talkpilot.staging.scratch import Scratch

Row = dict[str, Any]

_INSERT = "INSERT OR REPLACE INTO calls VALUES (?, ?, ?)"
_FIND = "SELECT purged FROM calls WHERE {} = ?"


class CallState(Enum):
    """What happened to a call since a row of it was staged."""

    SAME = "same"
    PURGED = "purged"
    GONE = "gone"


class WalkedCalls(Scratch):
    """The calls of a walk; a context manager.

    :param folder: where the walk's parts are.
    :param walk: its manifest.
    :raises ManifestError: when the parts are not what the manifest says.
    """

    def __init__(self, folder: ObjectStoragePath, walk: WalksManifest) -> None:
        super().__init__(
            "CREATE TABLE calls (id TEXT PRIMARY KEY, purged INTEGER, call_id TEXT) WITHOUT ROWID;"
            "CREATE INDEX by_call_id ON calls (call_id)"
        )
        self.walk = walk
        if self._insert(_INSERT, _listed(folder, walk)) != walk.rows:
            raise ManifestError(
                f"The parts in {folder} do not hold what their manifest says: run the task "
                "that staged them again."
            )
        recognised = Counter[str]()
        self._insert(_INSERT, _rejected(folder, walk, recognised))
        # A selection does not show which calls are gone. Nor does the walk of an agent with a
        # rejected record without an id: it may be any call.
        self._walked_at = {
            agent.agent_id.lower(): agent.walked_at
            for agent in walk.agents
            if not walk.selection and recognised[agent.agent_id] >= agent.rejected
        }

    def has(self, call_id: str) -> bool:
        """Whether the walk has a call with LiveKit's id."""
        return self._db.execute(_FIND.format("call_id"), (call_id,)).fetchone() is not None

    def state(self, row: Row, read_at: datetime | None) -> CallState:
        """Say what happened to a call since a row of it was staged.

        :param row: a list row, a detail's row, a performance record's, or a record that failed
            validation. Of the last two, ``call_id`` leads to the call.
        :param read_at: when it was read from TalkPilot, if that is known.
        """
        call_id = row.get("id")
        if not isinstance(call_id, str) or row.get("detail_found") is False:  # no data of a caller
            return CallState.SAME
        # Ids in rows are in lower case; a record that failed validation is as it came.
        ids = (call_id.lower(),)
        found = self._db.execute(_FIND.format("id"), ids).fetchone()
        if found is None and isinstance(row.get("call_id"), str):
            found = self._db.execute(_FIND.format("call_id"), (row["call_id"],)).fetchone()
        if found is None:
            return CallState.GONE if self._is_gone(row, read_at) else CallState.SAME
        is_purged_now = found[0] and row.get("is_purged") is not True
        return CallState.PURGED if is_purged_now else CallState.SAME

    def _is_gone(self, row: Row, read_at: datetime | None) -> bool:
        walked_at = self._walked_at.get(str(row.get("agent_id")).lower())
        try:
            created_at = read_moment(row.get("created_at"))
        except ValueError:
            return False
        was_read_before = read_at is not None and walked_at is not None and read_at < walked_at
        return was_read_before and created_at in self.walk.interval


def _listed(
    folder: ObjectStoragePath, walk: WalksManifest
) -> Iterator[tuple[str, bool, str | None]]:
    for part in walk.parts:
        for row in read_records(folder / part.name):
            yield row["id"], row.get("is_purged") is True, row.get("call_id")


def _rejected(
    folder: ObjectStoragePath, walk: WalksManifest, recognised: Counter[str]
) -> Iterator[tuple[str, bool, str | None]]:
    """The walk's rejects that have an id all the same, counted by agent."""
    for part in walk.rejects:
        with suppress(ManifestError):  # users may look at rejects and delete them
            for reject in read_records(folder / part.name):
                record = reject["record"]
                call_id = record.get("id") if isinstance(record, dict) else None
                if isinstance(call_id, str):
                    recognised[reject["agent_id"]] += 1
                    yield call_id.lower(), _says_yes(record.get("is_purged")), None


def _says_yes(value: Any) -> bool:
    """Whether a flag says yes in any form, as the model of a call reads it."""
    try:
        return bool(_flag(value))
    except ValidationError:
        return False


_flag = TypeAdapter(LenientFlag).validate_python
