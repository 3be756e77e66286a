"""A load: parts into a staging table by one load job, then one merge into the target table."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import islice

from google.cloud.bigquery import Client, QueryJob, Table

from airflow_provider_talkpilot.bigquery.agents import load_agents
from airflow_provider_talkpilot.bigquery.jobs import LABELS, Jobs
from airflow_provider_talkpilot.bigquery.policy_tags import tagged_like
from airflow_provider_talkpilot.bigquery.reconcile import (
    Balance,
    ErasureLimit,
    agent_parameters,
    require_equal,
    require_few_gone,
    total,
)
from airflow_provider_talkpilot.bigquery.schema import staging_schema
from airflow_provider_talkpilot.bigquery.staging_table import (
    StagingTable,
    check_parts,
    count_rows,
    ensure_lock,
)
from airflow_provider_talkpilot.bigquery.statements import query_config, render
from airflow_provider_talkpilot.bigquery.table_id import TableId
from airflow_provider_talkpilot.bigquery.target import (
    ensure_dataset,
    ensure_table,
    has_performance,
)
from airflow_provider_talkpilot.compat import ObjectStoragePath
from airflow_provider_talkpilot.recordings.forget import Recording, forget_recordings
from airflow_provider_talkpilot.staging.choices import DROP
from airflow_provider_talkpilot.staging.manifests import DetailsManifest, Manifest, WalksManifest
from airflow_provider_talkpilot.staging.progress import log_group

log = logging.getLogger(__name__)

_MERGE = "talkpilot-merge-"
# Recordings that are forgotten at once: memory stays flat.
_RECORDINGS = 10_000


@dataclass(frozen=True)
class LoadOptions:
    """How to load.

    :param location: where the dataset must be; by default where it is.
    :param policy_tags: a policy tag by column; set where it is missing, on the staging table too.
    :param erasure_limit: how many calls of an interval may be gone at once.
    :param maximum_bytes_billed: a query that would read more fails; None for no such limit.
    :param deferrable: whether to raise ``JobRunsError`` for a job that takes long.
    :param resumed_job: id of the job that the task deferred for, where it resumes.
    :param recordings: where recordings are archived, if they are: those of calls that are purged or
        gone are deleted there, and wherever the target names them.
    :param keep_recordings: recordings of calls that began longer ago are deleted; None keeps them.
    """

    location: str | None = None
    policy_tags: Mapping[str, str] = field(default_factory=dict)
    erasure_limit: ErasureLimit = ErasureLimit()
    maximum_bytes_billed: int | None = None
    deferrable: bool = False
    resumed_job: str | None = None
    recordings: ObjectStoragePath | None = None
    keep_recordings: timedelta | None = None


@dataclass(frozen=True)
class LoadResult:
    """What a load did.

    :param rows: rows staged and loaded.
    :param changed: rows of the target inserted or updated, and doubled ones taken out.
    :param erased: rows of the target that were emptied, because their calls are gone.
    :param purged: calls of the walk that TalkPilot purged since the target last read them.
    :param live: the interval's calls that live in the target; None where the manifest does not
        have all calls of its interval.
    :param load_job_id: None where the manifest has no part.
    :param merge_job_id: None where the target had all of it.
    :param bytes_processed: bytes that the statements read.
    :param location: where the jobs ran.
    :param recordings_deleted: recordings deleted, for their calls are purged, gone or too old.
    """

    rows: int
    changed: int = 0
    erased: int = 0
    purged: int = 0
    live: int | None = None
    load_job_id: str | None = None
    merge_job_id: str | None = None
    bytes_processed: int = 0
    location: str | None = None
    recordings_deleted: int = 0


class Load:
    """Brings the parts of a manifest into the target table; erases there what TalkPilot erased.

    It may run any number of times, and be killed at any moment: the result is the same. What a
    killed or deferred try has done is found in BigQuery, by the ids of its jobs and the rows of the
    staging table.

    Performance records go into the table beside the target, and their scores into the target.

    :param client: BigQuery, for the project that pays for the jobs.
    :param folder: where the manifest's parts are.
    :param manifest: what was staged.
    :param target: the table; it and its dataset are created where they are missing.
    :param options: location, policy tags and limits.
    """

    def __init__(
        self,
        client: Client,
        folder: ObjectStoragePath,
        manifest: Manifest,
        target: TableId,
        options: LoadOptions | None = None,
    ) -> None:
        self._client, self._folder, self._manifest = client, folder, manifest
        self._walk: WalksManifest | None = None
        if isinstance(manifest, WalksManifest) and manifest.is_whole_interval:
            self._walk = manifest  # others do not tell which calls are gone
        self._target, self._options = target, options or LoadOptions()
        self._jobs = Jobs(
            client,
            deferrable=self._options.deferrable,
            resumed_job=self._options.resumed_job,
        )
        self._bytes_processed = 0
        self._recordings_deleted = 0

    def run(self) -> LoadResult:
        """Load.

        :return: what was done.
        :raises ManifestError: when a part is missing or is not what the manifest says.
        :raises BigQueryLoadError: when a job failed or loaded something else than was staged, when
            more calls are gone than allowed, or when the target is not equal to the walk
            afterwards.
        :raises JobRunsError: when the task can defer for a job.
        """
        manifest, target, options = self._manifest, self._target, self._options
        check_parts(self._folder, manifest)
        warn = manifest.kind == "calls" and not options.resumed_job  # once a run
        self._jobs.location = ensure_dataset(self._client, target, options.location, warn=warn)
        table = self._ensure_table(target, warn=warn)
        if warn and isinstance(manifest, WalksManifest) and manifest.listed:
            limit = options.maximum_bytes_billed
            load_agents(
                self._client, self._jobs, target, manifest.listed, options.policy_tags, limit
            )
        if not manifest.parts and not self._walk:
            log.info("Nothing is staged for %s; %s stays as it is.", manifest.interval, target)
            return LoadResult(rows=0, location=self._jobs.location)
        is_beside = manifest.kind == "performance"
        if is_beside:
            table = self._ensure_table(target.performance, manifest.kind)
        self._has_performance = is_beside or has_performance(self._client, target)
        schema = tagged_like(staging_schema(manifest.kind), table.schema, options.policy_tags)
        self._staging = StagingTable(self._client, self._folder, manifest, target, schema)
        with log_group("BigQuery jobs, one after the other"):
            load_job = self._staging.fill(self._jobs)
            result = self._merge_records() if is_beside else self._merge()
            if self._walk and options.keep_recordings:
                self._forget_old(datetime.now(UTC), options.keep_recordings)
            result = replace(
                result,
                load_job_id=load_job.job_id if load_job else None,
                bytes_processed=self._bytes_processed,
                location=self._jobs.location,
                recordings_deleted=self._recordings_deleted,
            )
            self._staging.drop()
        log.info(
            "%s of %s: %s row(s) loaded, %s of %s inserted or updated, %s bytes processed.",
            manifest.kind.capitalize(),
            manifest.interval,
            f"{result.rows:,}",
            f"{result.changed:,}",
            target.performance if is_beside else target,
            f"{result.bytes_processed:,}",
        )
        return result

    def cancel(self) -> None:
        """Cancel the job that runs, from another thread or a signal handler."""
        self._jobs.cancel()

    def _ensure_table(self, table: TableId, kind: str = "", *, warn: bool = False) -> Table:
        tags = self._options.policy_tags
        return ensure_table(self._client, self._jobs, table, self._manifest, tags, kind, warn=warn)

    def _merge(self) -> LoadResult:
        """Merge the staging table into the target, and prove that it has what the walk gave."""
        walk, target, merge = self._walk, self._target, None
        rows = count_rows(self._client, target) if walk else 0
        balances = self._look()
        if walk:
            require_few_gone(balances, walk, target, self._options.erasure_limit)
        counts = {
            "changed": total(balances, "missing", "changed", "doubles"),
            "erased": total(balances, "gone", "gone_from_trash"),
            "purged": total(balances, "purged") if walk else 0,
        }
        # A task that resumes after its merge takes that for the figures: they are its labels.
        is_merged = (self._options.resumed_job or "").startswith(_MERGE)
        self._forget_lost(balances)
        if counts["changed"] or counts["erased"] or is_merged:
            statement = self._statement(
                "merge",
                lock=ensure_lock(self._client, self._jobs, target),
                staged_rows=self._manifest.rows,
                doubles=total(balances, "doubles"),
                gone_agents=[b.agent_id for b in balances if b.gone or b.gone_from_trash],
                erased_at=walk.walked_at if walk else None,
            )
            merge = self._change(_MERGE, statement, counts)
            counts = {verb: int(merge.labels.get(verb, count)) for verb, count in counts.items()}
            rows += total(balances, "missing") - total(balances, "doubles")
            if walk and count_rows(self._client, target) == rows:
                # Nobody else added or removed a row: the table has what the look counted on.
                balances = [balance.merged() for balance in balances]
            elif walk:
                balances = self._look()
        if walk and self._has_performance:
            # In each run: one that was killed after its merge would not know of it.
            statement = self._statement("purge_performance", now=walk.walked_at)
            self._change("talkpilot-purge-", statement, deferrable=False)
        return LoadResult(
            rows=self._manifest.rows,
            changed=counts["changed"],
            erased=counts["erased"],
            purged=counts["purged"],
            live=self._reconcile(walk, balances, counts["erased"]) if walk else None,
            merge_job_id=merge.job_id if merge else None,
        )

    def _merge_records(self) -> LoadResult:
        """Merge performance records into their table, and their scores into the target."""
        statement = self._statement(
            "merge_performance",
            lock=ensure_lock(self._client, self._jobs, self._target),
            keeps_scores=self._manifest.columns.get("final_score") != DROP,
        )
        merge, rows = self._change(_MERGE, statement), self._manifest.rows
        return LoadResult(rows=rows, changed=rows, merge_job_id=merge.job_id)

    def _forget_lost(self, before: Sequence[Balance]) -> None:
        """Delete the recordings of calls that the merge will empty, or an earlier one has.

        Before the merge: where a kill comes between the two, the next try finds the calls again.
        """
        manifest = self._manifest
        is_staged = isinstance(manifest, DetailsManifest) and "archived" in manifest.recordings
        lost = total(before, "purged", "gone", "gone_from_trash", "forgotten")
        archive = self._options.recordings is not None
        # By its name one can be in the archive that the table does not have, too.
        if is_staged or total(before, "recorded") or (lost and archive):
            about = {"staged_rows": manifest.rows, "archive": archive}
            self._forget(self._statement("lost_recordings", **about))

    def _forget_old(self, now: datetime, keep: timedelta) -> None:
        """Delete recordings that were kept long enough, then note that in their rows."""
        bounds = {"before": now - keep, "now": now}
        if self._forget(self._statement("old_recordings", **bounds)):
            lock = ensure_lock(self._client, self._jobs, self._target)
            statement = self._statement("forget_recordings", lock=lock, **bounds)
            self._change("talkpilot-forget-", statement, deferrable=False)

    def _forget(self, statement: str) -> int:
        """Delete the recordings that a query names; give how many calls it gave."""
        parameters = agent_parameters(self._walk)
        limit = self._options.maximum_bytes_billed
        job = self._jobs.query(statement, query_config(limit, query_parameters=parameters))
        self._bytes_processed += job.total_bytes_processed or 0
        rows, calls, root = iter(job.result()), 0, self._options.recordings
        while some := [Recording(**dict(row)) for row in islice(rows, _RECORDINGS)]:
            calls += len(some)
            self._recordings_deleted += forget_recordings(some, root)
        return calls

    def _reconcile(self, walk: WalksManifest, balances: Sequence[Balance], erased: int) -> int:
        """Compare the target with the walk; give the calls that live in it."""
        require_equal(balances, walk, self._target)
        live = total(balances, "live", "others")
        log.info(
            "Reconciled %s: %s call(s) in TalkPilot, %s staged, %s live in the table, %s erased, "
            "%d agent(s).",
            walk.interval,
            f"{walk.rows:,}",
            f"{total(balances, 'staged'):,}",
            f"{live:,}",
            f"{erased:,}",
            walk.agent_count,
        )
        return live

    def _look(self) -> list[Balance]:
        """Compare what is staged with the target."""
        limit = self._options.maximum_bytes_billed
        config = query_config(limit, query_parameters=agent_parameters(self._walk))
        job = self._jobs.query(self._statement("look"), config)
        self._bytes_processed += job.total_bytes_processed or 0
        return [Balance(**dict(row)) for row in job.result()]

    def _change(
        self,
        prefix: str,
        statement: str,
        counts: Mapping[str, int] | None = None,
        *,
        deferrable: bool = True,
    ) -> QueryJob:
        """Run a statement that changes tables; the counts become labels of its job."""
        labels = {verb: str(count) for verb, count in (counts or {}).items()}
        config = query_config(self._options.maximum_bytes_billed, labels={**LABELS, **labels})

        def submit(job_id: str) -> QueryJob:
            return self._client.query(
                statement,
                job_id=job_id,
                location=self._jobs.location,
                job_config=config,
                job_retry=None,  # Jobs decides about another attempt
            )

        job = self._jobs.run(f"{prefix}{self._staging.digest}", submit, deferrable=deferrable)
        self._bytes_processed += job.total_bytes_processed or 0
        return job

    def _statement(self, name: str, **values: object) -> str:
        interval = self._manifest.interval
        return render(
            name,
            kind=self._manifest.kind,
            target=self._target,
            staging=self._staging.name,
            interval=interval,
            has_performance=self._has_performance,
            # Without a walk no agent counts as walked, and none of its calls as gone.
            read_before=self._walk.began_at if self._walk else interval.start,
            **values,
        )
