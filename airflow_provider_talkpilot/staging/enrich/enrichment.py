"""Enrichment: the details of staged calls, requested until they are complete."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from airflow_provider_talkpilot.api import Quota, TalkPilotClient
from airflow_provider_talkpilot.compat import ObjectStoragePath
from airflow_provider_talkpilot.staging import storage
from airflow_provider_talkpilot.staging.choices import (
    ColumnChoices,
    require_same_choices,
    warn_of_drift,
)
from airflow_provider_talkpilot.staging.enrich.details import DetailBatches
from airflow_provider_talkpilot.staging.enrich.plan import (
    DetailPlan,
    DetailRule,
    Details,
    EnrichOptions,
    Known,
    Wanted,
)
from airflow_provider_talkpilot.staging.errors import StagingError
from airflow_provider_talkpilot.staging.inbox import find_events
from airflow_provider_talkpilot.staging.inventory import find_related, left_alone, list_parts
from airflow_provider_talkpilot.staging.manifests import (
    DetailsManifest,
    WalksManifest,
    load_checkpoint,
)
from airflow_provider_talkpilot.staging.names import root_of
from airflow_provider_talkpilot.staging.parts import Part, PartWriter, read_intact, read_records
from airflow_provider_talkpilot.staging.progress import (
    PER_HOUR,
    PER_MINUTE,
    Progress,
    duration,
    log_group,
    seconds_for,
)
from airflow_provider_talkpilot.staging.rows import event_row

log = logging.getLogger(__name__)

# Staged details can be deleted while others are fetched: then the work is planned anew, so often.
PLANS = 3
# A kill before a part of events is staged costs nothing: they are still in the inbox.
_EVENT_ROWS = 1000
RULES: dict[Details, str] = {
    "until_complete": "until each has its transcript and score",
    "every_version": "of every version of a call",
    "by_webhook": "as far as webhooks brought them",
}
"""The choices of ``details``, in the words of logs."""


def enrich_calls(
    client: TalkPilotClient,
    calls: ObjectStoragePath,
    *,
    known: Callable[[WalksManifest], Iterable[Known]] | None = None,
    options: EnrichOptions | None = None,
) -> tuple[DetailsManifest, ObjectStoragePath]:
    """Fetch and stage the details that neither staging nor the warehouse has.

    Before any error leaves, fetched details are staged; the next try takes them over.

    :param client: the API.
    :param calls: the manifest of the list rows; details are staged beside it.
    :param known: gives the details of the lists' calls that the warehouse has.
    :param options: concurrency, the rule for further requests.
    :return: the manifest of all details staged for the interval, and its path.
    :raises ColumnChoiceError: when the list rows were staged under other choices.
    :raises QuotaExhaustedError: when the quota is used up for longer than the client may wait.
    :raises TooManyRejectsError: when more records than allowed did not validate; the others are
        staged.
    :raises StagingError: when staged details were deleted again and again meanwhile.
    """
    options, folder = options or EnrichOptions(), calls.parent
    lists = WalksManifest.load(calls)
    require_same_choices(options.choices, lists.columns)
    start = _start(folder, lists)
    for _ in range(PLANS):
        manifest = start.model_copy(deep=True)
        fetched = _fetch_missing(client, calls, manifest, known, options)
        manifest.require_rejects_within(options.max_rejects, folder)
        if fetched and manifest.is_whole(folder):
            break
        # Another run of the interval loaded and cleaned them, or wrote them anew without purged
        # calls: the warehouse or staging has them.
        log.info("Staged details of %s were deleted meanwhile: planning anew.", start.interval)
    else:
        raise StagingError(
            f"Staged details of {start.interval} were deleted {PLANS} times meanwhile. What is "
            "staged is kept, and the next try goes on from it."
        )
    if manifest.vanished:
        log.warning(
            "%d call(s) vanished between the list and their detail; the next walk of the interval "
            "shows whether they were erased.",
            manifest.vanished,
        )
    warn_of_drift(manifest.drift, options.choices)
    return manifest, manifest.save(folder)


def _start(folder: ObjectStoragePath, lists: WalksManifest) -> DetailsManifest:
    """Make the manifest to fill, with what an interrupted try has spent."""
    manifest = DetailsManifest(
        start=lists.start,
        end=lists.end,
        selection=lists.selection,
        columns=lists.columns,
        agent_count=lists.agent_count,
        started_at=datetime.now(UTC),
    )
    before = load_checkpoint(folder, "details")
    kept = {"requests", "fetched", "drift", "recordings", "started_at"}
    return manifest.model_copy(update=before.model_dump(include=kept) if before else {})


def _fetch_missing(
    client: TalkPilotClient,
    calls: ObjectStoragePath,
    manifest: DetailsManifest,
    known: Callable[[WalksManifest], Iterable[Known]] | None,
    options: EnrichOptions,
) -> bool:
    """Plan, then fetch the missing details; the manifest gets what is staged.

    :return: false where a part was deleted while the plan was made: then the plan may lack details
        that are known.
    """
    folder, choices = calls.parent, options.choices
    rule = replace(
        options.rule,
        needs_score=not choices.drops("final_score"),
        needs_transcript=not choices.drops("transcript"),
    )
    # Read anew each time: a purge may have been in the lists too.
    lists = WalksManifest.load(calls)
    with DetailPlan(rule) as plan:
        plan.want(map(Wanted.of_row, _rows(folder, lists)))
        # Listed before the query of the warehouse: a part that is cleaned in between is noticed.
        own, elsewhere = list_parts(folder, "details"), _find_elsewhere(folder)
        plan.know(known(lists) if known else ())
        with (
            PartWriter(folder, "details", first=len(own)) as writer,
            PartWriter(folder, "rejects") as rejects,
        ):
            staged = _take_over(own, elsewhere, plan, writer)
            if staged is None:
                return False
            if not rule.every_version:
                events = _stage_events(folder, lists, plan, writer, choices)
                manifest.by_webhook = sum(part.rows for part in events)
                staged += events
            manifest.parts = staged
            progress = Progress(_log_plan(manifest, plan, rule, client.quota))
            batches = DetailBatches(client, folder, manifest, writer, rejects, options)
            with log_group("Details, as they come"):
                batches.fetch(plan.missing(), progress)
    return True


def _rows(folder: ObjectStoragePath, lists: WalksManifest) -> Iterator[dict[str, Any]]:
    for part in lists.parts:
        yield from read_records(folder / part.name)


def _find_elsewhere(folder: ObjectStoragePath) -> list[ObjectStoragePath]:
    """Find detail parts of other work on the same calls, such as a failed re-sync of other days."""
    found = list[ObjectStoragePath]()
    with left_alone(strict=False):
        for related in find_related(folder):
            found += list_parts(related.path, "details")
    return found


def _take_over(
    own: Sequence[ObjectStoragePath],
    elsewhere: Sequence[ObjectStoragePath],
    plan: DetailPlan,
    writer: PartWriter,
) -> list[Part] | None:
    """Enter staged details into the plan, so that they are not requested again.

    A part of this folder is used as it is where the lists have all its calls. Calls that the lists
    lack may be gone from TalkPilot: of other parts, the details that are wanted are copied. Torn
    parts are not used.

    :param own: detail parts in this folder.
    :param elsewhere: detail parts of other work on the same calls.
    :return: the parts with details that the warehouse lacks; None where a part of this folder was
        deleted meanwhile.
    """
    parts, mixed = list[Part](), list[ObjectStoragePath]()
    for path in own:
        intact = read_intact(path)
        if intact is None:
            if storage.size(path) is None:
                return None
            log.warning("Not using %s: it is torn.", path)
        elif not all(plan.wants(row["id"]) for row in intact[1]):
            mixed.append(path)
        elif plan.know(map(Known.of_row, intact[1])):
            parts.append(intact[0])
    # Last: details that an interrupted try copied are known by now.
    for path in (*mixed, *elsewhere):
        rows = list[dict[str, Any]]()
        with left_alone(strict=False):
            _, rows = read_intact(path) or (None, [])
        parts += _stage(filter(plan.can_use, rows), plan, writer)
    return None if any(storage.size(path) is None for path in mixed) else parts


def _stage_events(
    folder: ObjectStoragePath,
    lists: WalksManifest,
    plan: DetailPlan,
    writer: PartWriter,
    choices: ColumnChoices,
) -> list[Part]:
    """Stage the transcripts that the inbox has of calls of which no detail is known.

    An inbox that cannot be read costs requests, and stops nothing.

    :return: the parts with them.
    """
    now, parts = datetime.now(UTC), list[Part]()
    unknown = (
        row
        for row in _rows(folder, lists)
        if not row.get("is_purged") and not plan.is_known(row["id"])
    )
    details = (
        row | choices.row(detail)
        for row, event in find_events(root_of(folder), unknown)
        if (detail := event_row(row, event.call.get("transcript"), now))
    )
    while True:
        rows = list[dict[str, Any]]()
        with left_alone(strict=False):
            rows = list(islice(details, _EVENT_ROWS))
        if not rows:
            return parts
        parts += _stage(rows, plan, writer)


def _stage(rows: Iterable[dict[str, Any]], plan: DetailPlan, writer: PartWriter) -> list[Part]:
    """Stage details as a part, and enter them into the plan; none where all of them are known."""
    rows = list(rows)
    if not plan.know(map(Known.of_row, rows)):
        return []
    writer.write(rows)
    part = writer.flush()
    return [part] if part else []


def _log_plan(manifest: DetailsManifest, plan: DetailPlan, rule: DetailRule, quota: Quota) -> int:
    """Log how much there is to do; give how many details to fetch."""
    wanted, missing = plan.wanted(), plan.to_fetch()
    known = wanted - missing
    log.info(
        "Details of %s, %s: %s call(s), %s known, %s to fetch.",
        *(manifest.interval, RULES[rule.details], f"{wanted:,}", f"{known:,}", f"{missing:,}"),
    )
    if for_recordings := plan.for_recordings():
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
