"""Enrichment: the details of staged calls, one request per version of a call."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from airflow.providers.common.compat.sdk import ObjectStoragePath
from pydantic import TypeAdapter

from airflow_provider_talkpilot.api import Interval, Quota, TalkPilotClient
from airflow_provider_talkpilot.staging import storage
from airflow_provider_talkpilot.staging.batches import Batches
from airflow_provider_talkpilot.staging.fetch import fetch_details
from airflow_provider_talkpilot.staging.manifest import Manifest
from airflow_provider_talkpilot.staging.parts import Part, PartWriter, read_intact, read_records
from airflow_provider_talkpilot.staging.plan import DetailPlan, Known, ScoreRule, Wanted
from airflow_provider_talkpilot.staging.progress import (
    PER_HOUR,
    PER_MINUTE,
    Progress,
    duration,
    seconds_for,
)

log = logging.getLogger(__name__)

_moment = TypeAdapter(datetime).validate_python


@dataclass(frozen=True)
class EnrichOptions:
    """How to enrich.

    :param concurrency: requests in flight at most; the quota can allow fewer.
    :param compress: gzip the parts.
    :param score_rule: when a detail without a score is asked for again.
    :param max_rejects: records that may fail validation before the run fails.
    """

    concurrency: int = 32
    compress: bool = False
    score_rule: ScoreRule = ScoreRule()
    max_rejects: int = 0


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
    :raises TooManyRejectsError: when more records than allowed did not validate; the others are
        staged.
    """
    options = options or EnrichOptions()
    manifest = _begin(folder, calls)
    with DetailPlan(options.score_rule) as plan:
        plan.want(_wanted(folder, calls))
        plan.know(known)
        manifest.parts, number = _staged_details(folder, plan)
        total = plan.to_fetch()
        _log_plan(calls.interval, plan.wanted(), total, client.quota)
        with (
            PartWriter(folder, "details", compress=options.compress, first=number) as writer,
            PartWriter(folder, "rejects", compress=options.compress) as rejects,
        ):
            batches = Batches(folder, writer, rejects, manifest, client)
            fetch_details(
                client,
                plan.missing(),
                batches,
                options.concurrency,
                Progress(total),
                options.max_rejects,
            )
    manifest.require_rejects_within(options.max_rejects, folder)
    if manifest.vanished:
        log.warning(
            "%d call(s) vanished between the list and their detail; the next walk of the interval "
            "shows whether they were erased.",
            manifest.vanished,
        )
    # Another run of the interval may have loaded, and then deleted, what was there before.
    manifest.parts = [p for p in manifest.parts if storage.size(folder / p.name) == p.bytes]
    path = manifest.save(folder)
    Manifest.delete_checkpoint(folder, "details")
    return manifest, path


def _begin(folder: ObjectStoragePath, calls: Manifest) -> Manifest:
    """The manifest to fill, with what an interrupted try has spent."""
    before = Manifest.load_checkpoint(folder, "details")
    return Manifest(
        kind="details",
        start=calls.start,
        end=calls.end,
        selection=calls.selection,
        requests=before.requests if before else {},
        fetched=before.fetched if before else 0,
        started_at=before.started_at if before else datetime.now(UTC),
    )


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


def _staged_details(folder: ObjectStoragePath, plan: DetailPlan) -> tuple[list[Part], int]:
    """Enter the intact detail parts of earlier tries into the plan.

    :return: those with details that the warehouse lacks, and the number of the next part.
    """
    staged = []
    paths = storage.list_files(folder, "details-*.jsonl*")
    for path in paths:
        intact = read_intact(path)
        if intact is None:
            log.warning("Not using %s: it is torn or gone.", path)
            continue
        part, records = intact
        news = plan.know(
            Known(
                row["id"],
                _moment(row["detail_updated_at"]) if row["detail_updated_at"] else None,
                _moment(row["detail_synced_at"]),
                row["final_score"] is not None,
            )
            for row in records
        )
        if news:
            staged.append(part)
    return staged, len(paths)


def _log_plan(interval: Interval, wanted: int, to_fetch: int, quota: Quota) -> None:
    log.info(
        "Details of %s: %s call(s), %s known, %s to fetch.",
        interval,
        f"{wanted:,}",
        f"{wanted - to_fetch:,}",
        f"{to_fetch:,}",
    )
    if to_fetch:
        log.info(
            "That is %s request(s): about %s at %s a minute and %s an hour.",
            f"{to_fetch:,}",
            duration(seconds_for(to_fetch, quota.per_minute, quota.per_hour)),
            f"{quota.per_minute or PER_MINUTE:,}",
            f"{quota.per_hour or PER_HOUR:,}",
        )
