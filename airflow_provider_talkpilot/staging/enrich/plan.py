"""The plan of an enrichment: which versions of which calls still need a request.

A version of a call is ``(id, updated_at)``. A detail that is known for the version a list row
shows, or for a newer one, is never requested again; nor is that of a purged call, where the
warehouse has one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from airflow_provider_talkpilot.staging.scratch import Scratch

_SCHEMA = """
CREATE TABLE wanted (
    position INTEGER PRIMARY KEY, id TEXT UNIQUE, agent_id TEXT, created_at INTEGER,
    version INTEGER, deleted INTEGER, purged INTEGER
);
CREATE TABLE known (
    id TEXT PRIMARY KEY, version INTEGER, fetched_at INTEGER, scored INTEGER, loaded INTEGER
) WITHOUT ROWID;
"""

_WANT = """
INSERT INTO wanted (id, agent_id, created_at, version, deleted, purged) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (id) DO UPDATE SET
    version = max(coalesce(version, 0), coalesce(excluded.version, 0)),
    purged = max(purged, excluded.purged)
"""

_KNOW = """
INSERT INTO known (id, version, fetched_at, scored, loaded) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (id) DO UPDATE SET
    version = excluded.version, fetched_at = excluded.fetched_at, scored = excluded.scored,
    loaded = max(loaded, excluded.loaded)
WHERE excluded.fetched_at > fetched_at
"""

# A list row without updated_at shows no change: any detail of that call is its detail. And a purge
# leaves nothing of a detail but its score, which the warehouse has.
_MISSING = """
SELECT w.id, w.agent_id, w.created_at, w.version, w.deleted
FROM wanted AS w LEFT JOIN known AS k USING (id)
WHERE k.id IS NULL
   OR (
       NOT (w.purged AND k.loaded)
       AND (
           w.version > coalesce(k.version, 0)
           OR (NOT k.scored AND w.created_at > :young_since AND k.fetched_at <= :fetched_before)
       )
   )
ORDER BY w.position
"""


class Wanted(NamedTuple):
    """A call whose detail is to be requested.

    :param version: ``updated_at`` of its list row, if it has one.
    :param deleted: whether its list row says it is soft-deleted.
    :param purged: whether its list row says it is purged.
    """

    id: str
    agent_id: str
    created_at: datetime
    version: datetime | None
    deleted: bool = False
    purged: bool = False


class Known(NamedTuple):
    """A detail that staging or the warehouse has.

    :param version: the version it belongs to.
    :param fetched_at: when it was requested.
    :param scored: whether it has a ``final_score``.
    :param loaded: whether the warehouse has it.
    """

    id: str
    version: datetime | None
    fetched_at: datetime
    scored: bool
    loaded: bool = False


@dataclass(frozen=True)
class ScoreRule:
    """When a detail without ``final_score`` is requested again: the score comes after the call.

    :param max_age: only while the call is younger than this; zero turns the rule off.
    :param pause: at least this long after the last request.
    """

    max_age: timedelta = timedelta(days=3)
    pause: timedelta = timedelta(days=1)


class DetailPlan(Scratch):
    """Collects what is wanted and what is known; gives what is missing. A context manager.

    :param rule: for details without a score.
    :param now: aware time that ages are measured at; the machine's clock by default.
    """

    def __init__(self, rule: ScoreRule | None = None, now: datetime | None = None) -> None:
        super().__init__(_SCHEMA)
        self._rule = rule or ScoreRule()
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

    def can_use(self, detail: Known) -> bool:
        """Whether the list has the call, and in no newer version."""
        found = self._db.execute("SELECT version FROM wanted WHERE id = ?", (detail.id,)).fetchone()
        return found is not None and (_micros(detail.version) or 0) >= (found[0] or 0)

    def know(self, details: Iterable[Known]) -> int:
        """Add details that exist; of two for one call the one fetched later counts.

        :return: how many of them were new.
        """
        rows = (
            (d.id, _micros(d.version), _micros(d.fetched_at), d.scored, d.loaded) for d in details
        )
        return self._insert(_KNOW, rows)

    def wanted(self) -> int:
        """How many calls the lists have."""
        return self._count("wanted")

    def to_fetch(self) -> int:
        """How many details to request."""
        return self._count(f"({_MISSING})")

    def missing(self) -> Iterator[Wanted]:
        """The calls whose details to request, in the order of the list rows."""
        for call_id, agent_id, created_at, version, deleted in self._db.execute(
            _MISSING, self._bounds()
        ):
            started = _EPOCH + created_at * _MICROSECOND
            yield Wanted(call_id, agent_id, started, _moment(version), bool(deleted))

    def _count(self, rows: str) -> int:
        found = self._db.execute(f"SELECT count(*) FROM {rows}", self._bounds())  # noqa: S608
        return int(found.fetchone()[0])

    def _bounds(self) -> dict[str, int | None]:
        return {
            "young_since": _micros(self._now - self._rule.max_age),
            "fetched_before": _micros(self._now - self._rule.pause),
        }


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def _micros(moment: datetime | None) -> int | None:
    return None if moment is None else (moment - _EPOCH) // _MICROSECOND


def _moment(micros: int | None) -> datetime | None:
    return None if not micros else _EPOCH + micros * _MICROSECOND
