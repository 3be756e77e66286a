"""The plan of an enrichment: which calls still need a request for their detail.

A detail is complete when it has a transcript and a score. A complete detail is never requested
again. A detail that lacks either is requested again while its call is young, at most once a day. Of
a purged call, only the score is left: its detail is not requested where the warehouse has the
score, or where scores are dropped. A user can choose a request for every version of a call instead;
a version is ``(id, updated_at)``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple, Self

from airflow_provider_talkpilot.api.interval import read_moment
from airflow_provider_talkpilot.staging.enrich.options import EnrichOptions
from airflow_provider_talkpilot.staging.rows.calls import has_vanished
from airflow_provider_talkpilot.staging.temporary import TemporaryDatabase

PAUSE = timedelta(days=1)
"""A detail is requested again at least this long after its last request."""

# All times are microseconds since 1970. Rows of `listed` keep the list's order by their rowid.
_SCHEMA = """
CREATE TABLE listed (
    id TEXT PRIMARY KEY, agent_id TEXT, created_at INTEGER, version INTEGER, deleted INTEGER,
    purged INTEGER, extra TEXT
);
CREATE TABLE known (
    id TEXT PRIMARY KEY, version INTEGER, requested_at INTEGER, scored INTEGER, transcribed INTEGER,
    recording_known INTEGER, loaded INTEGER, archived INTEGER
) WITHOUT ROWID;
"""

_ADD_CALL = """
INSERT INTO listed VALUES (:id, :agent_id, :created_at, :version, :deleted, :purged, :extra)
ON CONFLICT (id) DO UPDATE SET
    version = max(coalesce(version, 0), coalesce(excluded.version, 0)),
    purged = max(purged, excluded.purged), extra = excluded.extra
"""

_ADD_DETAIL = """
INSERT INTO known VALUES (
    :id, :version, :requested_at, :scored, :transcribed, :recording_known, :loaded, :archived
)
ON CONFLICT (id) DO UPDATE SET
    version = excluded.version, requested_at = excluded.requested_at, scored = excluded.scored,
    transcribed = excluded.transcribed,
    recording_known = max(recording_known, excluded.recording_known),
    loaded = max(loaded, excluded.loaded), archived = max(archived, excluded.archived)
WHERE excluded.requested_at > requested_at
"""

# A list row without updated_at shows no change: any detail of its call is current. A detail of a
# purged call that is only staged was fetched before the purge, and the warehouse refuses it.
_MISSING = """
SELECT c.id, c.agent_id, c.created_at, c.version, c.deleted, c.purged, coalesce(k.archived, 0),
    c.extra
FROM listed AS c LEFT JOIN known AS k USING (id)
WHERE NOT (c.purged AND (coalesce(k.loaded, 0) OR NOT :needs_score))
  AND (
      k.id IS NULL
      OR (c.version > coalesce(k.version, 0) AND (:every_version OR c.purged))
      OR (
          ((:needs_score AND NOT k.scored) OR (:needs_transcript AND NOT k.transcribed))
          AND c.created_at > :young_since AND k.requested_at <= :requested_before
      )
      OR (
          :recordings AND NOT k.recording_known AND NOT c.purged
          AND k.requested_at <= :requested_before
      )
  )
ORDER BY c.rowid
"""

# A webhook's transcript of a purged call is not taken.
_LACKING = "SELECT 1 FROM listed WHERE NOT purged AND id NOT IN (SELECT id FROM known)"


class ListedCall(NamedTuple):
    """A call of the list.

    :param version: ``updated_at`` of its list row, if the row has one.
    :param deleted: whether its list row says that it is soft-deleted.
    :param purged: whether its list row says that it is purged.
    :param archived: whether its recording was archived, according to the warehouse.
    :param extra: the unknown fields of its list row.
    """

    id: str
    agent_id: str
    created_at: datetime
    version: datetime | None
    deleted: bool = False
    purged: bool = False
    archived: bool = False
    extra: dict[str, Any] | None = None

    @classmethod
    def of_row(cls, row: dict[str, Any]) -> Self:
        """Read a staged list row."""
        return cls(
            row["id"],
            row["agent_id"],
            read_moment(row["created_at"]),
            _optional(row.get("updated_at")),
            row.get("deleted_at") is not None,
            row.get("is_purged") is True,
            extra=row.get("extra"),
        )


class KnownDetail(NamedTuple):
    """A detail that staging or the warehouse has.

    :param version: the version of the call that it belongs to.
    :param requested_at: when it was requested.
    :param scored: whether it has a ``final_score``.
    :param transcribed: whether it has a transcript, or its call is purged.
    :param recording_known: whether its recording has a status other than ``failed``.
    :param loaded: whether the warehouse has it; of a purged call, whether it has the score.
    :param archived: whether its recording was archived, according to the warehouse.
    """

    id: str
    version: datetime | None
    requested_at: datetime
    scored: bool
    transcribed: bool
    recording_known: bool = False
    loaded: bool = False
    archived: bool = False

    @classmethod
    def of_row(cls, row: dict[str, Any]) -> Self:
        """Read a staged detail, or the row of a call that vanished."""
        vanished = has_vanished(row)
        return cls(
            row["id"],
            _optional(row["updated_at" if vanished else "detail_updated_at"]),
            read_moment(row["synced_at" if vanished else "detail_synced_at"]),
            row["final_score"] is not None,
            bool(row["transcript"] or row.get("transcript_raw") or row.get("is_purged")),
            row.get("recording_status") not in (None, "failed"),
        )


class DetailPlan(TemporaryDatabase):
    """Compares the calls of the list with the known details; a context manager.

    :param options: when a known detail is requested again.
    :param now: aware time that ages are measured at; the machine's clock by default.
    """

    def __init__(self, options: EnrichOptions, now: datetime | None = None) -> None:
        super().__init__(_SCHEMA)
        self._options = options
        self._now = now or datetime.now(UTC)

    def add_calls(self, calls: Iterable[ListedCall]) -> None:
        """Add calls of the list."""
        self._insert(_ADD_CALL, map(_parameters, calls))

    def add_details(self, details: Iterable[KnownDetail]) -> int:
        """Add details that exist; of two for one call, the one requested later counts.

        :return: how many of them were new.
        """
        return self._insert(_ADD_DETAIL, map(_parameters, details))

    def has_call(self, call_id: str) -> bool:
        """Return whether the list has a call."""
        found = self._db.execute("SELECT 1 FROM listed WHERE id = ?", (call_id,))
        return found.fetchone() is not None

    def has_detail(self, call_id: str) -> bool:
        """Return whether any detail of a call is known."""
        found = self._db.execute("SELECT 1 FROM known WHERE id = ?", (call_id,))
        return found.fetchone() is not None

    def is_usable(self, row: dict[str, Any]) -> bool:
        """Return whether the list has the call of a staged detail, and the detail is new enough.

        A row of other work that says that the call vanished counts for nothing. A detail with
        another agent or start is from before its call moved. A copy of it would stay in staging
        when the call is erased: no walk would miss a call there.
        """
        if has_vanished(row):
            return False
        detail = KnownDetail.of_row(row)
        query = "SELECT version, purged FROM listed WHERE (id, agent_id, created_at) = (?, ?, ?)"
        place = detail.id, row["agent_id"], _micros(read_moment(row["created_at"]))
        version, purged = self._db.execute(query, place).fetchone() or (None, None)
        is_current = (_micros(detail.version) or 0) >= (version or 0)
        return purged is not None and (is_current or not (self._options.every_version or purged))

    def count_calls(self) -> int:
        """Count the calls of the list."""
        return self._count("listed")

    def count_missing(self) -> int:
        """Count the details to request."""
        return 0 if self._options.details == "by_webhook" else self._count(f"({_MISSING})")

    def count_missing_for_recordings(self) -> int:
        """Count the details that are requested for their recordings alone."""
        without = self._count(f"({_MISSING})", recordings=False)
        return max(self.count_missing() - without, 0)

    def count_lacking(self) -> int:
        """Count the calls that lack a detail and get none, because none is requested."""
        return self._count(f"({_LACKING})") if self._options.details == "by_webhook" else 0

    def missing(self) -> Iterator[ListedCall]:
        """Return the calls whose details to request, in the order of the list."""
        if self._options.details == "by_webhook":
            return
        rows = self._db.execute(_MISSING, self._bounds())
        for call_id, agent_id, created_at, version, deleted, purged, archived, extra in rows:
            yield ListedCall(
                call_id,
                agent_id,
                _EPOCH + created_at * _MICROSECOND,
                _EPOCH + version * _MICROSECOND if version else None,
                bool(deleted),
                bool(purged),
                bool(archived),
                json.loads(extra),
            )

    def _count(self, rows: str, **bounds: bool) -> int:
        found = self._db.execute(
            f"SELECT count(*) FROM {rows}",  # noqa: S608
            self._bounds() | bounds,
        )
        return int(found.fetchone()[0])

    def _bounds(self) -> dict[str, int | None]:
        options = self._options
        return {
            "young_since": _micros(self._now - options.refetch_age),
            "requested_before": _micros(self._now - PAUSE),
            "every_version": options.every_version,
            "needs_score": options.needs_score,
            "needs_transcript": options.needs_transcript,
            "recordings": options.recordings,
        }


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def _parameters(entry: ListedCall | KnownDetail) -> dict[str, Any]:
    """Return an entry's fields as SQL takes them."""
    fields = {
        name: _micros(value) if isinstance(value, datetime) else value
        for name, value in entry._asdict().items()
    }
    return fields | ({"extra": json.dumps(entry.extra)} if isinstance(entry, ListedCall) else {})


def _optional(value: Any) -> datetime | None:
    return None if value is None else read_moment(value)


def _micros(moment: datetime | None) -> int | None:
    return None if moment is None else (moment - _EPOCH) // _MICROSECOND
