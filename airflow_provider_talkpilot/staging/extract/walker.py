"""The walks of one try: agent after agent, staged as parts, with a checkpoint after each."""

from __future__ import annotations

import logging
import math
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Any

from airflow_provider_talkpilot.api import (
    Call,
    CallFilters,
    Interval,
    PerformanceRecord,
    TalkPilotClient,
)
from airflow_provider_talkpilot.api.errors import (
    NotFoundError,
    QuotaExhaustedError,
    WalkMovedError,
)
from airflow_provider_talkpilot.api.interval import format_utc
from airflow_provider_talkpilot.api.walk import PAGE_LIMIT, RecordPage
from airflow_provider_talkpilot.compat import ObjectStoragePath
from airflow_provider_talkpilot.staging.choices import KEEP_ALL, ColumnChoices
from airflow_provider_talkpilot.staging.manifests import AgentWalk, DayCount, WalksManifest
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
# The margin around a slice is read twice. Of a minute it is little, of a second it would be most.
SHORTEST = timedelta(minutes=1)
WHAT = {"calls": "calls", "performance": "performance records"}

_SECOND = timedelta(seconds=1)


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


def slices_of(interval: Interval, total: int, pages: int) -> list[Interval]:
    """Cut the interval of a long list into slices of equal length: no walk may be long.

    A slice has about half the pages that a walk may have, so that one of a busy time still fits
    into a walk. It costs half a page more.

    :param interval: the interval.
    :param total: how many calls it has.
    :param pages: the most pages of one walk.
    :return: the slices, oldest first; the interval alone where its list is short, or where it is
        too short to be cut.
    """
    length = interval.end - interval.start
    count = min(math.ceil(2 * total / PAGE_LIMIT / pages), length // SHORTEST)
    if total <= pages * PAGE_LIMIT or count < 2:
        return [interval]
    seconds = length // _SECOND
    cuts = [interval.start + _SECOND * (seconds * number // count) for number in range(count)]
    return [Interval(start, end) for start, end in pairwise([*cuts, interval.end])]


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
    manifest: WalksManifest
    parts: PartWriter
    rejects: PartWriter

    def __post_init__(self) -> None:
        self._requests_before = self.manifest.requests
        self._is_saved = True
        self._pages, self._has_walked = 0, False
        self._flushed_at = time.monotonic()

    def walk(self, agents: Sequence[str]) -> None:
        """Walk the agents that are left; first the one whose walk was interrupted."""
        done = {walk.agent_id for walk in self.manifest.agents if walk.until is None}
        left = [agent_id for agent_id in agents if agent_id not in done]
        if unfinished := self.manifest.unfinished:
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
                try:
                    self._walk_agent(agent_id)
                except NotFoundError as error:
                    # The agent was deleted after its calls were walked.
                    is_between = self.manifest.agents and not self.manifest.unfinished
                    if self.manifest.kind == "calls" or not is_between:
                        raise
                    log.warning("An agent's performance records are left out: %s", error)
        except QuotaExhaustedError:
            if self._pages and not self._has_walked:
                # It would end so every time: others may leave us few requests an hour.
                pages = self.manifest.walk_pages
                self.manifest.walk_pages = min(pages, max(FEWEST_PAGES, pages // 2))
            # What waits is not abandoned, however little was done this time.
            self._is_saved = False
            raise
        finally:
            self._flush()

    def _walk_agent(self, agent_id: str) -> None:
        """Walk an agent's interval, or what is left of it; a long list in slices."""
        whole, before = self.plan.interval, self.manifest.unfinished
        left = [Interval(before.until, whole.end) if before and before.until else whole]
        while left:
            interval = left.pop(0)
            walk = self._walk(agent_id, interval)
            if isinstance(walk, list):
                left[:0] = walk
                continue
            if self.manifest.unfinished:
                walk = self.manifest.agents.pop().joined(walk)
            walk.until = interval.end if left else None
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
        client, choices, counts = self.client, self.plan.choices, _Counts()
        is_calls, pages = self.manifest.kind == "calls", self.manifest.walk_pages
        walk: Iterator[RecordPage[Any]] = (
            client.walk_calls(agent_id, interval, self.plan.filters)
            if is_calls
            else client.walk_performance(agent_id, interval)
        )
        for number, page in enumerate(walk):
            self._pages += 1
            if number == 0 and page.total > pages * PAGE_LIMIT:
                slices = slices_of(interval, page.total, pages)
                if len(slices) > 1:
                    said = f"{page.total:,}", interval, len(slices)
                    log.info("%s row(s) of an agent in %s: %d slices.", *said)
                    return slices
                # To wait for the quota in the worker is cheaper than to walk it again.
                client.quota.max_wait = None
            now = datetime.now(UTC)
            for record in page.records:
                counts.add(record)
            rows = [_row(record, now) for record in page.records]
            self.parts.write(choices.rows(rows) if is_calls else choices.performance_rows(rows))
            for reject in page.rejects:
                counts.rejected += 1
                counts.reject_reason = counts.reject_reason or reject.reason
                record = choices.reject(reject.record)
                self.rejects.write(
                    [{"agent_id": agent_id, "reason": reject.reason, "record": record}]
                )
        return counts

    def _flush(self) -> None:
        """Stage the rows of finished walks and save the checkpoint that names them."""
        if self._is_saved:
            return
        if part := self.parts.flush():
            self.manifest.parts.append(part)
        if rejects := self.rejects.flush():
            self.manifest.rejects.append(rejects)
        self.manifest.add_requests(self._requests_before, self.client.requests)
        self.manifest.save_checkpoint(self.folder)
        self._is_saved = True
        self._flushed_at = time.monotonic()
        if (walk := self.manifest.unfinished) and walk.until:
            calls, until = f"{walk.calls:,}", format_utc(walk.until)
            log.info("%s row(s) of an agent staged, up to %s.", calls, until)


def _row(record: Call | PerformanceRecord, now: datetime) -> dict[str, Any]:
    return call_row(record, now) if isinstance(record, Call) else performance_row(record, now)
