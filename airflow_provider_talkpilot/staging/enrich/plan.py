"""The plan of an enrichment: which calls still need a request for their detail.

A detail is complete when it has a transcript and a score. One that is known and complete is never
requested again; one that lacks either is, while the call is young. The detail of a purged call has
its score alone: it is not requested where the warehouse has that, or where scores are dropped. A
user can choose a request for every version of a call
instead; a version is ``(id, updated_at)``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, NamedTuple, Protocol, Self

from pydantic import TypeAdapter

from airflow_provider_talkpilot.api import CallDetail
from airflow_provider_talkpilot.staging.choices import KEEP_ALL, ColumnChoices
from airflow_provider_talkpilot.staging.scratch import Scratch

_SCHEMA = """
CREATE TABLE wanted (
    position INTEGER PRIMARY KEY, id TEXT UNIQUE, agent_id TEXT, created_at INTEGER,
    version INTEGER, deleted INTEGER, purged INTEGER
);
CREATE TABLE known (
    id TEXT PRIMARY KEY, version INTEGER, fetched_at INTEGER, scored INTEGER, transcribed INTEGER,
    recorded INTEGER, loaded INTEGER, archived INTEGER
) WITHOUT ROWID;
"""

_WANT = """
INSERT INTO wanted (id, agent_id, created_at, version, deleted, purged) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (id) DO UPDATE SET
    version = max(coalesce(version, 0), coalesce(excluded.version, 0)),
    purged = max(purged, excluded.purged)
"""

_KNOW = """
INSERT INTO known (id, version, fetched_at, scored, transcribed, recorded, loaded, archived)
VALUES (?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (id) DO UPDATE SET
    version = excluded.version, fetched_at = excluded.fetched_at, scored = excluded.scored,
    transcribed = excluded.transcribed, recorded = max(recorded, excluded.recorded),
    loaded = max(loaded, excluded.loaded), archived = max(archived, excluded.archived)
WHERE excluded.fetched_at > fetched_at
"""

# A list row without updated_at shows no change: any detail of that call is its detail. And a purge
# leaves nothing of a detail but its score. A staged one is of before the purge: the warehouse will
# not take it.
_MISSING = """
SELECT w.id, w.agent_id, w.created_at, w.version, w.deleted, coalesce(k.archived, 0)
FROM wanted AS w LEFT JOIN known AS k USING (id)
WHERE NOT (w.purged AND (coalesce(k.loaded, 0) OR NOT :needs_score))
  AND (
      k.id IS NULL
      OR (w.version > coalesce(k.version, 0) AND (:every_version OR w.purged))
      OR (
          ((:needs_score AND NOT k.scored) OR (:needs_transcript AND NOT k.transcribed))
          AND w.created_at > :young_since AND k.fetched_at <= :fetched_before
      )
      OR (
          :needs_recording AND NOT k.recorded AND NOT w.purged
          AND k.fetched_at <= :fetched_before
      )
  )
ORDER BY w.position
"""


_required = TypeAdapter(datetime).validate_python
_optional = TypeAdapter(datetime | None).validate_python

Details = Literal["until_complete", "every_version", "by_webhook"]


class Wanted(NamedTuple):
    """A call whose detail is to be requested.

    :param version: ``updated_at`` of its list row, if it has one.
    :param deleted: whether its list row says it is soft-deleted.
    :param purged: whether its list row says it is purged.
    :param recorded: whether the warehouse knows that its recording was archived.
    """

    id: str
    agent_id: str
    created_at: datetime
    version: datetime | None
    deleted: bool = False
    purged: bool = False
    recorded: bool = False

    @classmethod
    def of_row(cls, row: dict[str, Any]) -> Self:
        """Make it of a staged list row."""
        return cls(
            row["id"],
            row["agent_id"],
            _required(row["created_at"]),
            _optional(row.get("updated_at")),
            row.get("deleted_at") is not None,
            row.get("is_purged") is True,
        )


class Known(NamedTuple):
    """A detail that staging or the warehouse has.

    :param version: the version it belongs to.
    :param fetched_at: when it was requested.
    :param scored: whether it has a ``final_score``.
    :param transcribed: whether it has a transcript, or its call is purged.
    :param recorded: whether it is known what became of its recording.
    :param loaded: whether the warehouse has it; of a purged call, its score.
    :param archived: whether the warehouse knows that its recording was archived.
    """

    id: str
    version: datetime | None
    fetched_at: datetime
    scored: bool
    transcribed: bool
    recorded: bool = False
    loaded: bool = False
    archived: bool = False

    @classmethod
    def of_row(cls, row: dict[str, Any]) -> Self:
        """Make it of a staged detail."""
        return cls(
            row["id"],
            _optional(row["detail_updated_at"]),
            _required(row["detail_synced_at"]),
            row["final_score"] is not None,
            bool(row["transcript"] or row.get("transcript_raw") or row.get("is_purged")),
            row.get("recording_status") not in (None, "failed"),
        )


@dataclass(frozen=True)
class DetailRule:
    """When a detail is requested again: transcript and score come after the call.

    :param details: ``until_complete``, or ``every_version`` for a request whenever the list shows
        a change. Under the latter a missing transcript alone is no reason for a request. Or
        ``by_webhook``, for no request at all.
    :param max_age: an incomplete one only while the call is younger than this; zero never.
    :param pause: at least this long after the last request.
    :param needs_score: False where scores are not kept.
    :param needs_transcript: False where transcripts are not kept.
    :param needs_recording: whether a missing recording alone is worth a request, at most once a
        pause and whatever the call's age.
    """

    details: Details = "until_complete"
    max_age: timedelta = timedelta(days=3)
    pause: timedelta = timedelta(days=1)
    needs_score: bool = True
    needs_transcript: bool = True
    needs_recording: bool = False

    @property
    def every_version(self) -> bool:
        """Whether each change that the list shows costs a request."""
        return self.details == "every_version"


class Archive(Protocol):
    """Archives recordings, whose addresses die: they are fetched when their details come."""

    def archive(self, call: CallDetail) -> dict[str, Any]:
        """Archive the recording of a call, in any thread; give its columns that have a value."""

    def close(self) -> None:
        """Let what is not archived yet fail soon."""


@dataclass(frozen=True)
class EnrichOptions:
    """How to enrich.

    :param concurrency: requests in flight at most; the quota can allow fewer.
    :param rule: when a detail that is known is requested again.
    :param max_rejects: records that may fail validation before the run fails.
    :param choices: what is dropped or hashed: the choices that the list rows were staged under.
    :param archive: archives recordings; None where they are not archived.
    """

    concurrency: int = 32
    rule: DetailRule = DetailRule()
    max_rejects: int = 0
    choices: ColumnChoices = KEEP_ALL
    archive: Archive | None = None


class DetailPlan(Scratch):
    """Collects what is wanted and what is known; gives what is missing. A context manager.

    :param rule: when a detail that is known is requested again.
    :param now: aware time that ages are measured at; the machine's clock by default.
    """

    def __init__(self, rule: DetailRule | None = None, now: datetime | None = None) -> None:
        super().__init__(_SCHEMA)
        self._rule = rule or DetailRule()
        self._now = now or datetime.now(UTC)

    def want(self, calls: Iterable[Wanted]) -> None:
        """Add staged list rows."""
        rows = (
            (c.id, c.agent_id, _micros(c.created_at), _micros(c.version), c.deleted, c.purged)
            for c in calls
        )
        self._insert(_WANT, rows)

    def wants(self, call_id: str) -> bool:
        """Whether the list has the call."""
        found = self._db.execute("SELECT 1 FROM wanted WHERE id = ?", (call_id,))
        return found.fetchone() is not None

    def is_known(self, call_id: str) -> bool:
        """Whether any detail of the call is known."""
        found = self._db.execute("SELECT 1 FROM known WHERE id = ?", (call_id,))
        return found.fetchone() is not None

    def can_use(self, row: dict[str, Any]) -> bool:
        """Whether the list has a staged detail's call, and in no newer version to be requested."""
        detail, query = Known.of_row(row), "SELECT version, purged FROM wanted WHERE id = ?"
        version, purged = self._db.execute(query, (detail.id,)).fetchone() or (None, None)
        is_current = (_micros(detail.version) or 0) >= (version or 0)
        return purged is not None and (is_current or not (self._rule.every_version or purged))

    def know(self, details: Iterable[Known]) -> int:
        """Add details that exist; of two for one call the one fetched later counts.

        :return: how many of them were new.
        """
        rows = ((d.id, _micros(d.version), _micros(d.fetched_at), *d[3:]) for d in details)
        return self._insert(_KNOW, rows)

    def wanted(self) -> int:
        """How many calls the lists have."""
        return self._count("wanted")

    def to_fetch(self) -> int:
        """How many details to request."""
        return 0 if self._rule.details == "by_webhook" else self._count(f"({_MISSING})")

    def for_recordings(self) -> int:
        """How many of them are requested for their recordings alone."""
        without = self._count(f"({_MISSING})", needs_recording=False)
        return max(self.to_fetch() - without, 0)

    def missing(self) -> Iterator[Wanted]:
        """The calls whose details to request, in the order of the list rows."""
        if self._rule.details == "by_webhook":
            return
        for call_id, agent_id, created_at, version, deleted, archived in self._db.execute(
            _MISSING, self._bounds()
        ):
            started = _EPOCH + created_at * _MICROSECOND
            flags = {"deleted": bool(deleted), "recorded": bool(archived)}
            yield Wanted(call_id, agent_id, started, _moment(version), **flags)

    def _count(self, rows: str, **bounds: bool) -> int:
        values = self._bounds() | bounds
        found = self._db.execute(f"SELECT count(*) FROM {rows}", values)  # noqa: S608
        return int(found.fetchone()[0])

    def _bounds(self) -> dict[str, int | None]:
        return {
            "young_since": _micros(self._now - self._rule.max_age),
            "fetched_before": _micros(self._now - self._rule.pause),
            "every_version": self._rule.every_version,
            "needs_score": self._rule.needs_score,
            "needs_recording": self._rule.needs_recording,
            "needs_transcript": self._rule.needs_transcript and not self._rule.every_version,
        }


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def _micros(moment: datetime | None) -> int | None:
    return None if moment is None else (moment - _EPOCH) // _MICROSECOND


def _moment(micros: int | None) -> datetime | None:
    return None if not micros else _EPOCH + micros * _MICROSECOND
