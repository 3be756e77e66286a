"""The walks of one try: agent after agent, staged as parts, with a checkpoint after each."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any

from airflow_provider_talkpilot.api import (
    Call,
    CallFilters,
    Interval,
    PerformanceRecord,
    TalkPilotClient,
)
from airflow_provider_talkpilot.api.errors import QuotaExhaustedError, WalkMovedError
from airflow_provider_talkpilot.api.interval import format_utc
from airflow_provider_talkpilot.api.walk import RecordPage
from airflow_provider_talkpilot.compat import ObjectStoragePath
from airflow_provider_talkpilot.staging.choices import KEEP_ALL, ColumnChoices
from airflow_provider_talkpilot.staging.extract.slices import is_long, slices_of
from airflow_provider_talkpilot.staging.manifests import (
    AgentWalk,
    CallsManifest,
    Checkpoint,
    DayCount,
    PerformanceManifest,
    UnfinishedWalk,
    WalksManifest,
)
from airflow_provider_talkpilot.staging.parts import PartWriter
from airflow_provider_talkpilot.staging.rows import call_row, performance_row

log = logging.getLogger(__name__)

# A part ends after the first whole walk beyond this many bytes, or this many seconds. Clients of
# object storage upload up to 50 MB from memory, twice over: a part is smaller than that.
PART_BYTES = 16 * 1024 * 1024
PART_SECONDS = 60.0
WALKS = 3
# Of fewer pages no walk is cut, however little quota is left.
FEWEST_PAGES = 4
WHAT = {"calls": "calls", "performance": "performance records"}


@dataclass(frozen=True)
class ExtractPlan:
    """What to extract.

    :param interval: which calls, by ``created_at``.
    :param agent_ids: of which agents; None for all that the key can see.
    :param filters: the API's filters; with any, the result is a selection.
    :param max_rejects: records that may fail validation before the run fails.
    :param choices: what is dropped or hashed.
    :param agent_prompts: keep the prompts and greetings of listed agents.
    """

    interval: Interval
    agent_ids: Sequence[str] | None = None
    filters: CallFilters = CallFilters()
    max_rejects: int = 0
    choices: ColumnChoices = KEEP_ALL
    agent_prompts: bool = False


def _rows(
    records: Sequence[Call] | Sequence[PerformanceRecord], choices: ColumnChoices, now: datetime
) -> list[dict[str, Any]]:
    calls = [call_row(record, now) for record in records if isinstance(record, Call)]
    others = [performance_row(r, now) for r in records if isinstance(r, PerformanceRecord)]
    return choices.rows(calls) + choices.performance_rows(others)


@dataclass
class _Counts:
    """What one walk gave, until it is known to be whole."""

    calls: int = 0
    rejected: int = 0
    reject_reason: str = ""
    days: Counter[date] = field(default_factory=Counter)
    purged: Counter[date] = field(default_factory=Counter)
    drift: Counter[str] = field(default_factory=Counter)

    def add(self, record: Call | PerformanceRecord) -> None:
        day = record.created_at.date()
        self.calls += 1
        self.days[day] += 1
        self.purged[day] += isinstance(record, Call) and bool(record.is_purged)
        self.drift.update(record.drift.keys())

    def add_to(self, manifest: WalksManifest) -> None:
        for day, calls in self.days.items():
            count = manifest.days.setdefault(day, DayCount())
            count.calls += calls
            count.purged += self.purged[day]
        manifest.drift = dict(Counter(manifest.drift) + self.drift)
        manifest.reject_reason = manifest.reject_reason or self.reject_reason


@dataclass
class Walker:
    """The work of one try: walks agents, and saves the checkpoint after each part."""

    client: TalkPilotClient
    folder: ObjectStoragePath
    plan: ExtractPlan
    manifest: CallsManifest | PerformanceManifest
    checkpoint: Checkpoint
    parts: PartWriter
    rejects: PartWriter

    def __post_init__(self) -> None:
        self._requests_before = self.manifest.requests
        self._is_saved = True
        self._pages, self._has_walked = 0, False
        self._flushed_at = time.monotonic()

    def walk(self, agents: Sequence[str]) -> None:
        """Walk the agents that are left; first the one whose walk was interrupted."""
        done = {walk.agent_id for walk in self.manifest.agents}
        left = [agent_id for agent_id in agents if agent_id not in done]
        if unfinished := self.checkpoint.walk:
            left.sort(key=lambda agent_id: agent_id != unfinished.agent_id)
        log.info(
            "Walking the %s of %d agent(s) in %s%s.",
            WHAT[self.manifest.kind],
            len(left),
            self.plan.interval,
            f"; {len(done)} done before" if done else "",
        )
        try:
            for agent_id in left:
                self._walk_agent(agent_id)
        except QuotaExhaustedError:
            if self._pages and not self._has_walked:
                # It would end so every time: others may leave us few requests an hour.
                pages = self.checkpoint.walk_pages
                self.checkpoint.walk_pages = min(pages, max(FEWEST_PAGES, pages // 2))
            # What waits is not abandoned, however little was done this time.
            self._is_saved = False
            raise
        finally:
            self._flush()

    def _walk_agent(self, agent_id: str) -> None:
        """Walk an agent's interval, or what is left of it; a long list in slices."""
        whole, unfinished = self.plan.interval, self.checkpoint.walk
        left = [Interval(unfinished.until, whole.end) if unfinished else whole]
        while left:
            interval = left.pop(0)
            walk = self._walk(agent_id, interval)
            if isinstance(walk, list):
                left[:0] = walk
                continue
            if self.checkpoint.walk:
                walk = self.checkpoint.walk.joined(walk)
            if left:
                self.checkpoint.walk = UnfinishedWalk(**walk.model_dump(), until=interval.end)
            else:
                self.checkpoint.walk = None
                self.manifest.agents.append(walk)
            self._has_walked, self._is_saved = True, False
            if (
                self.parts.bytes >= PART_BYTES
                or time.monotonic() - self._flushed_at >= PART_SECONDS
            ):
                self._flush()

    def _walk(self, agent_id: str, interval: Interval) -> AgentWalk | list[Interval]:
        """Walk an interval of one agent until a walk was whole; take back the rows of the others.

        :return: the walk; or the slices of the interval, where its list is long.
        """
        marks = self.parts.mark(), self.rejects.mark()
        max_wait = self.client.quota.max_wait
        for walks in range(1, WALKS + 1):
            began_at = datetime.now(UTC)
            try:
                counts = self._read(agent_id, interval)
            except BaseException as error:
                self.parts.rollback(marks[0])
                self.rejects.rollback(marks[1])
                if not isinstance(error, WalkMovedError) or walks == WALKS:
                    raise
                log.info("%s Walking it again.", error)
                continue
            finally:
                self.client.quota.max_wait = max_wait
            if isinstance(counts, list):
                return counts
            counts.add_to(self.manifest)
            return AgentWalk(
                agent_id=agent_id,
                calls=counts.calls,
                rejected=counts.rejected,
                walks=walks,
                began_at=began_at,
                walked_at=datetime.now(UTC),
            )
        raise AssertionError("unreachable")

    def _read(self, agent_id: str, interval: Interval) -> _Counts | list[Interval]:
        """Walk once and write the rows, unless the list is long: then give its slices."""
        choices, counts = self.plan.choices, _Counts()
        for number, page in enumerate(self._pages_of(agent_id, interval)):
            self._pages += 1
            if number == 0 and (slices := self._slices(interval, page.total)):
                return slices
            now = datetime.now(UTC)
            self.parts.write(_rows(page.records, choices, now))
            for record in page.records:
                counts.add(record)
            for reject in page.rejects:
                counts.reject_reason = counts.reject_reason or reject.reason
                record = choices.reject(reject.record)
                self.rejects.write(
                    [{"agent_id": agent_id, "reason": reject.reason, "record": record}]
                )
            counts.rejected += len(page.rejects)
        return counts

    def _pages_of(self, agent_id: str, interval: Interval) -> Iterator[RecordPage[Any]]:
        if isinstance(self.manifest, CallsManifest):
            return self.client.walk_calls(agent_id, interval, self.plan.filters)
        return self.client.walk_performance(agent_id, interval)

    def _slices(self, interval: Interval, total: int) -> list[Interval]:
        """Cut the interval of a long list; nothing where it is short or cannot be cut."""
        if not is_long(total, self.checkpoint.walk_pages):
            return []
        slices = slices_of(interval, total, self.checkpoint.walk_pages)
        if len(slices) > 1:
            log.info("%s row(s) of an agent in %s: %d slices.", f"{total:,}", interval, len(slices))
            return slices
        # To wait for the quota in the worker is cheaper than to walk it again.
        self.client.quota.max_wait = None
        return []

    def _flush(self) -> None:
        """Stage the rows of finished walks and save the checkpoint that names them."""
        if self._is_saved:
            return
        if part := self.parts.flush():
            self.manifest.parts.append(part)
        if rejects := self.rejects.flush():
            self.manifest.rejects.append(rejects)
        self.checkpoint.worked_at = datetime.now(UTC)
        self.manifest.add_requests(self._requests_before, self.client.requests)
        self.checkpoint.save(self.folder)
        self._is_saved = True
        self._flushed_at = time.monotonic()
        if unfinished := self.checkpoint.walk:
            log.info(
                "%s row(s) of an agent staged, up to %s.",
                f"{unfinished.calls:,}",
                format_utc(unfinished.until),
            )
