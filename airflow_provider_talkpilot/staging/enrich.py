"""Enrichment: the details of staged calls, one request per version of a call."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYet
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from airflow.providers.common.compat.sdk import ObjectStoragePath
from pydantic import TypeAdapter

from airflow_provider_talkpilot.api import TalkPilotClient
from airflow_provider_talkpilot.api.errors import NotFoundError
from airflow_provider_talkpilot.staging import storage
from airflow_provider_talkpilot.staging.manifest import Manifest
from airflow_provider_talkpilot.staging.parts import Part, PartWriter, read_intact, read_records
from airflow_provider_talkpilot.staging.plan import DetailPlan, Known, ScoreRule, Wanted
from airflow_provider_talkpilot.staging.progress import Progress, duration
from airflow_provider_talkpilot.staging.rows import detail_row, missing_detail_row

log = logging.getLogger(__name__)

# What a kill can cost: details that are fetched and not staged yet.
BATCH_ROWS = 100
BATCH_SECONDS = 60.0

_moment = TypeAdapter(datetime).validate_python


@dataclass(frozen=True)
class EnrichOptions:
    """How to enrich.

    :param concurrency: requests in flight at most; the quota can allow fewer.
    :param compress: gzip the parts.
    :param score_rule: when a detail without a score is asked for again.
    """

    concurrency: int = 8
    compress: bool = False
    score_rule: ScoreRule = ScoreRule()


def enrich_calls(
    client: TalkPilotClient,
    folder: ObjectStoragePath,
    calls: Manifest,
    *,
    known: Iterable[Known] = (),
    options: EnrichOptions | None = None,
) -> tuple[Manifest, ObjectStoragePath]:
    """Fetch and stage the details that neither staging nor the warehouse has.

    Whatever ends the work early, fetched details are staged first; whoever comes next takes them.

    :param client: the API.
    :param folder: the interval's folder.
    :param calls: the manifest of the list rows.
    :param known: details that the warehouse has.
    :param options: concurrency, compression, the rule for late scores.
    :return: the manifest of all details staged for the interval, and its path.
    :raises QuotaExhaustedError: when the quota is used up for longer than the client may wait.
    """
    options = options or EnrichOptions()
    started_at = datetime.now(UTC)
    with DetailPlan(options.score_rule) as plan:
        plan.want(_wanted(folder, calls))
        plan.know(known)
        staged = _staged_details(folder, plan)
        total = plan.to_fetch()
        _log_plan(calls, plan.wanted(), total)
        with PartWriter(folder, "details", compress=options.compress, first=len(staged)) as writer:
            fetching = _Fetching(client, writer, options.concurrency, Progress(total))
            fetching.run(plan.missing())
        staged += fetching.staged
    if fetching.vanished:
        log.warning(
            "%d call(s) vanished between the list and their detail; the next walk of the interval "
            "shows whether they were erased.",
            fetching.vanished,
        )
    # Another run of the interval may have loaded, and then deleted, what was there before.
    staged = [part for part in staged if storage.size(folder / part.name) == part.bytes]
    manifest = Manifest(
        kind="details",
        start=calls.start,
        end=calls.end,
        selection=calls.selection,
        parts=staged,
        requests={kind: client.requests[kind] for kind in sorted(client.requests)},
        vanished=fetching.vanished,
        started_at=started_at,
    )
    return manifest, manifest.save(folder)


class _Fetching:
    """Requests in flight, bounded, their answers taken in the plan's order."""

    def __init__(
        self, client: TalkPilotClient, writer: PartWriter, concurrency: int, progress: Progress
    ) -> None:
        self._client, self._writer, self._progress = client, writer, progress
        self._concurrency = concurrency
        self._in_flight: deque[Future[dict[str, Any] | None]] = deque()
        self._flushed_at = time.monotonic()
        self.staged: list[Part] = []
        self.vanished = 0

    def run(self, missing: Iterator[Wanted]) -> None:
        with ThreadPoolExecutor(self._concurrency, thread_name_prefix="talkpilot") as pool:
            try:
                for call in missing:
                    self._in_flight.append(pool.submit(self._fetch, call))
                    if len(self._in_flight) > 2 * self._concurrency:
                        self._take(self._in_flight[0])
                while self._in_flight:
                    self._take(self._in_flight[0])
            finally:
                self._keep_what_came(pool)
                self._flush()

    def _fetch(self, call: Wanted) -> dict[str, Any] | None:
        """The detail's row; None for a call that vanished after it was listed."""
        try:
            detail = self._client.call(call.agent_id, call.id)
        except NotFoundError as error:
            if not error.code:  # not TalkPilot's own 404: there is no API at this address
                raise
            if not call.deleted:
                return None
            return missing_detail_row(
                call.id, call.agent_id, call.created_at, call.version, datetime.now(UTC)
            )
        return detail_row(detail, call.version, datetime.now(UTC))

    def _take(self, future: Future[dict[str, Any] | None]) -> None:
        """Write the oldest answer; stage the batch when it is full or old."""
        while True:
            try:
                due = self._flushed_at + BATCH_SECONDS - time.monotonic()
                row = future.result(timeout=max(0.0, due))
                break
            except NotYet:
                if future.done():
                    raise
                self._flush()
        self._in_flight.popleft()
        self._write(row)
        if self._writer.rows >= BATCH_ROWS:
            self._flush()

    def _keep_what_came(self, pool: ThreadPoolExecutor) -> None:
        """After an error: every answer that was paid for is kept."""
        for future in self._in_flight:
            future.cancel()
        pool.shutdown(wait=True)
        for future in self._in_flight:
            if not future.cancelled() and future.exception() is None:
                self._write(future.result())
        self._in_flight.clear()

    def _write(self, row: dict[str, Any] | None) -> None:
        if row is None:
            self.vanished += 1
        else:
            self._writer.write([row])
        self._progress.step()

    def _flush(self) -> None:
        if part := self._writer.flush():
            self.staged.append(part)
        self._flushed_at = time.monotonic()


def _wanted(folder: ObjectStoragePath, calls: Manifest) -> Iterator[Wanted]:
    for part in calls.parts:
        for row in read_records(folder / part.name):
            version = row.get("updated_at")
            yield Wanted(
                row["id"],
                row["agent_id"],
                _moment(row["created_at"]),
                _moment(version) if version else None,
                row.get("deleted_at") is not None,
            )


def _staged_details(folder: ObjectStoragePath, plan: DetailPlan) -> list[Part]:
    """Enter the intact detail parts of earlier tries into the plan."""
    staged = []
    for path in storage.list_files(folder, "details-*.jsonl*"):
        intact = read_intact(path)
        if intact is None:
            log.warning("Not using %s: it is torn or gone.", path)
            continue
        part, records = intact
        plan.know(
            Known(
                row["id"],
                _moment(row["detail_updated_at"]) if row["detail_updated_at"] else None,
                _moment(row["detail_synced_at"]),
                row["final_score"] is not None,
            )
            for row in records
        )
        staged.append(part)
    return staged


def _log_plan(calls: Manifest, wanted: int, to_fetch: int) -> None:
    log.info(
        "Details of %s: %s call(s), %s known, %s to fetch, as many requests%s.",
        calls.interval,
        f"{wanted:,}",
        f"{wanted - to_fetch:,}",
        f"{to_fetch:,}",
        f": about {duration(to_fetch / 1000 * 3600)} at 1,000 an hour" if to_fetch else "",
    )
