"""Enrichment: it requests the details of staged calls until they are complete."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from airflow_provider_talkpilot.api import Quota, TalkPilotClient
from airflow_provider_talkpilot.compat import ObjectStoragePath
from airflow_provider_talkpilot.staging import storage
from airflow_provider_talkpilot.staging.enrich.details import DetailBatches
from airflow_provider_talkpilot.staging.enrich.options import RULES, EnrichOptions
from airflow_provider_talkpilot.staging.enrich.plan import DetailPlan, KnownDetail, ListedCall
from airflow_provider_talkpilot.staging.errors import PartGoneError
from airflow_provider_talkpilot.staging.inbox import find_events
from airflow_provider_talkpilot.staging.inventory import find_related, list_parts, skip_errors
from airflow_provider_talkpilot.staging.manifests import (
    DetailsManifest,
    ListManifest,
    load_checkpoint,
)
from airflow_provider_talkpilot.staging.names import root_of
from airflow_provider_talkpilot.staging.parts import Part, read_intact, read_records
from airflow_provider_talkpilot.staging.progress import (
    PER_HOUR,
    PER_MINUTE,
    Progress,
    duration,
    log_group,
    seconds_for,
)
from airflow_provider_talkpilot.staging.rows.calls import event_row, has_vanished
from airflow_provider_talkpilot.staging.rows.choices import (
    ColumnChoices,
    warn_of_drift,
)
from airflow_provider_talkpilot.staging.work import StagedWork

log = logging.getLogger(__name__)

# How often the work is planned, because staged details can be deleted while others are fetched.
PLANS = 3
# A kill before a part of events is staged costs nothing: the events are still in the inbox.
_EVENT_ROWS = 1000


def enrich_calls(
    client: TalkPilotClient,
    calls: ObjectStoragePath,
    *,
    known: Callable[[ListManifest], Iterable[KnownDetail]] | None = None,
    options: EnrichOptions | None = None,
) -> tuple[DetailsManifest, ObjectStoragePath]:
    """Fetch and stage the details that neither staging nor the warehouse has.

    Fetched details are staged before any error leaves. The next try goes on from them.

    :param client: the API.
    :param calls: the manifest of the list rows; details are staged beside it.
    :param known: returns the details that the warehouse has of the lists' calls.
    :param options: which details to request, and how.
    :return: the manifest of all details staged for the interval, and its path.
    :raises QuotaExhaustedError: when the quota is used up for longer than the client may wait.
    :raises TooManyRejectsError: when more records than allowed failed validation. The others are
        staged.
    :raises PartGoneError: when other runs deleted staged parts again and again.
    """
    options, folder = options or EnrichOptions(), calls.parent
    lists = ListManifest.load(calls)
    start = _start(folder, lists)
    for plans_left in reversed(range(PLANS)):
        manifest = start.model_copy(deep=True)
        try:
            _fetch_missing(client, calls, manifest, known, options)
            manifest.require_rejects_within(options.max_rejects, folder)
            path = manifest.save(folder)
            break
        except PartGoneError:
            # Another run of the interval loaded and cleaned it, or rewrote it without purged calls.
            # So the warehouse or staging has its details, and the plan lacks them.
            if not plans_left:
                raise
            log.info("Staged parts of %s were deleted meanwhile: planning anew.", start.interval)
    if manifest.vanished:
        log.warning(
            "%d call(s) vanished between the list and their detail; the next walk of the interval "
            "shows whether they were erased.",
            manifest.vanished,
        )
    warn_of_drift(manifest.drift, options.choices)
    return manifest, path


def _start(folder: ObjectStoragePath, lists: ListManifest) -> DetailsManifest:
    """Create an empty manifest, with the counts of an interrupted try."""
    manifest = DetailsManifest(
        start=lists.start,
        end=lists.end,
        selection=lists.selection,
        columns=lists.columns,
        agent_count=lists.agent_count,
        started_at=datetime.now(UTC),
    )
    before = load_checkpoint(folder, "details")
    kept = {"requests", "fetched", "by_webhook", "drift", "recordings", "started_at"}
    return manifest.model_copy(update=before.model_dump(include=kept) if before else {})


def _fetch_missing(
    client: TalkPilotClient,
    calls: ObjectStoragePath,
    manifest: DetailsManifest,
    known: Callable[[ListManifest], Iterable[KnownDetail]] | None,
    options: EnrichOptions,
) -> None:
    """Plan, then fetch the missing details. All staged details go into the manifest.

    :raises PartGoneError: when a part was deleted while the plan was made.
    """
    folder = calls.parent
    # Read it anew for each plan: a purge may have rewritten the lists too.
    lists = ListManifest.load(calls)
    with DetailPlan(options) as plan:
        plan.add_calls(map(ListedCall.of_row, _rows(folder, lists)))
        # List parts before the query of the warehouse. If another run loads and cleans one during
        # the query, the plan notices that it is gone.
        own, elsewhere = list_parts(folder, "details"), _find_elsewhere(folder)
        plan.add_details(known(lists) if known else ())
        with StagedWork(client, folder, manifest, first=len(own)) as work:
            _take_over(own, elsewhere, plan, work)
            now = datetime.now(UTC)
            if options.every_version or _stage_events(lists, plan, work, options.choices, now):
                manifest.inbox_read_at = now
            progress = Progress(_log_plan(manifest, plan, options, client.quota))
            with log_group("Details, as they come"):
                DetailBatches(work, options).fetch(plan.missing(), progress)


def _rows(folder: ObjectStoragePath, lists: ListManifest) -> Iterator[dict[str, Any]]:
    for part in lists.parts:
        yield from read_records(folder / part.name)


def _find_elsewhere(folder: ObjectStoragePath) -> list[ObjectStoragePath]:
    """Find detail parts of other work on the same calls, such as a failed re-sync of other days."""
    found = list[ObjectStoragePath]()
    with skip_errors():
        for related in find_related(folder):
            found += list_parts(related.path, "details")
    return found


def _take_over(
    own: Sequence[ObjectStoragePath],
    elsewhere: Sequence[ObjectStoragePath],
    plan: DetailPlan,
    work: StagedWork[DetailsManifest],
) -> None:
    """Enter staged details into the plan, so that they are not requested again.

    A call that the list lacks may be gone from TalkPilot, and its detail must not come back into
    the table. So a part of this folder is used as it is only where the list has all of its calls.
    Of its other parts, and of other folders, the details that the list has calls for are copied.

    :param own: detail parts in this folder.
    :param elsewhere: detail parts of other work on the same calls.
    :param work: its manifest gets the parts with details that the warehouse lacks.
    :raises PartGoneError: when a part of this folder was deleted meanwhile.
    """
    mixed = list[ObjectStoragePath]()
    for path in own:
        part, rows = _read_own(path)
        if not all(plan.has_call(row["id"]) for row in rows):
            mixed.append(path)
        elif plan.add_details(map(KnownDetail.of_row, rows)) and part:
            work.manifest.parts.append(part)
            work.manifest.vanished += sum(map(has_vanished, rows))
    # Copy last, because the parts above can be copies that an interrupted try made.
    for path in mixed:
        _, rows = _read_own(path)
        _stage(filter(plan.is_usable, rows), plan, work)
    for path in elsewhere:
        rows = []
        with skip_errors():
            _, rows = read_intact(path) or (None, [])
        _stage(filter(plan.is_usable, rows), plan, work)


def _read_own(path: ObjectStoragePath) -> tuple[Part | None, list[dict[str, Any]]]:
    """Read a detail part of this folder; a torn one has no rows.

    :raises PartGoneError: when it is gone.
    """
    if intact := read_intact(path):
        return intact
    if storage.size(path) is None:
        raise PartGoneError(f"The part {path} was deleted while the details were planned.")
    log.warning("Not using %s: it is torn.", path)
    return None, []


def _stage_events(
    lists: ListManifest,
    plan: DetailPlan,
    work: StagedWork[DetailsManifest],
    choices: ColumnChoices,
    now: datetime,
) -> bool:
    """Stage the transcripts that the inbox has of calls without a known detail.

    An inbox that cannot be read costs requests, and stops nothing.

    :return: whether the inbox could be read.
    """
    before = work.manifest.by_webhook
    unknown = (
        row
        for row in _rows(work.folder, lists)
        if not row.get("is_purged") and not plan.has_detail(row["id"])
    )
    details = (
        row | choices.row(detail)
        for row, event in find_events(root_of(work.folder), unknown)
        if (detail := event_row(row, event.call.get("transcript"), now))
    )
    while True:
        rows: list[dict[str, Any]] | None = None
        with skip_errors():
            rows = list(islice(details, _EVENT_ROWS))
        if not rows:
            break
        work.manifest.by_webhook += _stage(rows, plan, work)
    if work.manifest.by_webhook > before:
        work.manifest.save_checkpoint(work.folder)  # the next try counts them too
    return rows is not None


def _stage(
    rows: Iterable[dict[str, Any]], plan: DetailPlan, work: StagedWork[DetailsManifest]
) -> int:
    """Enter details into the plan and stage them, unless all are known; return how many."""
    rows = list(rows)
    if not plan.add_details(map(KnownDetail.of_row, rows)):
        return 0
    work.rows.write(rows)
    work.flush()
    return len(rows)


def _log_plan(
    manifest: DetailsManifest, plan: DetailPlan, options: EnrichOptions, quota: Quota
) -> int:
    """Log how much there is to do; return how many details to fetch."""
    calls, missing = plan.count_calls(), plan.count_missing()
    manifest.lacking = plan.count_lacking()
    known, rule = calls - missing - manifest.lacking, RULES[options.details]
    log.info(
        "Details of %s, %s: %s call(s), %s known, %s to fetch.",
        *(manifest.interval, rule, f"{calls:,}", f"{known:,}", f"{missing:,}"),
    )
    if for_recordings := plan.count_missing_for_recordings():
        log.info("Of these, %s for their recording alone.", f"{for_recordings:,}")
    if manifest.by_webhook:
        log.info("Webhooks brought %s transcript(s), at no request.", f"{manifest.by_webhook:,}")
    if missing:
        per_minute, per_hour = quota.per_minute or PER_MINUTE, quota.per_hour or PER_HOUR
        time_left = duration(seconds_for(missing, per_minute, per_hour))
        log.info(
            "That is %s request(s): about %s at %s a minute and %s an hour.",
            *(f"{missing:,}", time_left, f"{per_minute:,}", f"{per_hour:,}"),
        )
    return missing
