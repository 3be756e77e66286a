"""A load: parts into a staging table by one load job, then one merge into the target table."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from google.cloud.bigquery import Client, QueryJob, Table

from airflow_provider_talkpilot.bigquery.agents import load_agents
from airflow_provider_talkpilot.bigquery.jobs import Jobs
from airflow_provider_talkpilot.bigquery.policy_tags import tagged_like
from airflow_provider_talkpilot.bigquery.reconcile import (
    Comparison,
    ErasureLimit,
    agent_parameters,
    reconcile,
    require_few_gone,
    total,
)
from airflow_provider_talkpilot.bigquery.schema import staging_schema
from airflow_provider_talkpilot.bigquery.staging_table import StagingTable, count_rows, ensure_lock
from airflow_provider_talkpilot.bigquery.statements import render
from airflow_provider_talkpilot.bigquery.table_id import TableId
from airflow_provider_talkpilot.bigquery.target import ensure_dataset, ensure_table, find_table
from airflow_provider_talkpilot.compat import ObjectStoragePath
from airflow_provider_talkpilot.recordings.delete import Recording, delete_recordings
from airflow_provider_talkpilot.staging.manifests import DetailsManifest, ListManifest, Manifest
from airflow_provider_talkpilot.staging.progress import log_group
from airflow_provider_talkpilot.staging.rows.choices import DROP

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LoadOptions:
    """How to load.

    :param location: where the dataset must be; by default wherever it is.
    :param policy_tags: a policy tag by column; set where a column has none, on the staging table
        too.
    :param erasure_limit: how many calls of an interval may be gone at once.
    :param maximum_bytes_billed: a query that would read more fails; None for no such limit.
    :param deferrable: whether to raise ``JobRunsError`` for a job that takes long.
    :param resumed_job: id of the job that the task deferred for, where it resumes.
    :param recordings: where recordings are archived, if they are. Recordings of calls that are
        purged or gone are deleted there, and wherever the target names them.
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
    :param changed: rows of the target inserted or updated, and duplicates deleted; of performance
        records, all that were compared with their table.
    :param erased: rows of the target that were emptied, because their calls are gone.
    :param purged: calls of the walk that TalkPilot purged since the target last read them.
    :param live: the interval's live calls in the target; None if the manifest does not have all
        calls of its interval.
    :param load_job_id: None if the manifest has no part.
    :param merge_job_id: None if nothing was to be changed.
    :param bytes_processed: bytes that the statements read.
    :param location: where the jobs ran.
    :param recordings_deleted: recordings deleted, because their calls are purged, gone or too old.
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

    It may run any number of times, and be killed at any moment: the result is the same. It finds
    what a killed or deferred try has done by the ids of its jobs and the rows of the staging table.

    Performance records go into the table beside the target, and their scores into the target.

    :param client: BigQuery, for the project that pays for the jobs.
    :param folder: where the manifest's parts are.
    :param manifest: what was staged.
    :param target: the table; it and its dataset are created if they are missing.
    :param options: location, policy tags and limits.
    """

    _staging: StagingTable  # run() makes it

    def __init__(
        self,
        client: Client,
        folder: ObjectStoragePath,
        manifest: Manifest,
        target: TableId,
        options: LoadOptions | None = None,
    ) -> None:
        self._client, self._folder, self._manifest = client, folder, manifest
        self._target, self._options = target, options or LoadOptions()
        self._jobs = Jobs(
            client,
            maximum_bytes_billed=self._options.maximum_bytes_billed,
            deferrable=self._options.deferrable,
            resumed_job=self._options.resumed_job,
        )
        self._walk: ListManifest | None = None
        if isinstance(manifest, ListManifest) and manifest.is_whole_interval:
            self._walk = manifest  # no other manifest tells which calls are gone
        self._recordings_deleted = 0

    def run(self) -> LoadResult:
        """Load.

        :return: what was done.
        :raises ManifestError: when a part is missing or is not what the manifest says.
        :raises BigQueryError: when a job failed or loaded something else than was staged, when
            more calls are gone than allowed, or when the target is not equal to the walk
            afterwards.
        :raises JobRunsError: when the task can defer for a job.
        """
        manifest, target, options = self._manifest, self._target, self._options
        manifest.require_parts(self._folder)
        warn = manifest.kind == "calls" and not options.resumed_job  # once a run
        location = ensure_dataset(self._client, target, options.location, warn=warn)
        self._jobs.location = location
        table = self._ensure_tables(warn=warn)
        if not manifest.parts and not self._walk:
            log.info("Nothing is staged for %s; %s stays as it is.", manifest.interval, target)
            return LoadResult(rows=0, location=location)
        is_performance = manifest.kind == "performance"
        schema = tagged_like(staging_schema(manifest.kind), table.schema, options.policy_tags)
        self._staging = StagingTable(self._jobs, self._folder, manifest, target, schema)
        with log_group("BigQuery jobs, one after the other"):
            load_job = self._staging.fill()
            merge, counts = self._merge_records() if is_performance else self._merge()
            if self._walk and options.keep_recordings:
                self._delete_old_recordings(datetime.now(UTC), options.keep_recordings)
            self._staging.drop()
        log.info(
            "%s of %s: %s row(s) loaded, %s of %s %s, %s bytes processed.",
            manifest.kind.capitalize(),
            manifest.interval,
            f"{manifest.rows:,}",
            f"{counts['changed']:,}",
            target.performance if is_performance else target,
            "compared, and updated where they differ" if is_performance else "inserted or updated",
            f"{self._jobs.bytes_processed:,}",
        )
        return LoadResult(
            rows=manifest.rows,
            **counts,
            load_job_id=load_job.job_id if load_job else None,
            merge_job_id=merge.job_id if merge else None,
            bytes_processed=self._jobs.bytes_processed,
            location=location,
            recordings_deleted=self._recordings_deleted,
        )

    def cancel(self) -> None:
        """Cancel the job that runs, if one does, from another thread or a signal handler."""
        self._jobs.cancel()

    def _ensure_tables(self, *, warn: bool) -> Table:
        """Create and check the tables; return the one that the rows go to."""
        jobs, manifest, target = self._jobs, self._manifest, self._target
        tags = self._options.policy_tags
        table = ensure_table(jobs, target, "calls", manifest, tags, warn=warn)
        if warn and isinstance(manifest, ListManifest) and manifest.listed:
            agents = ensure_table(jobs, target.agents, "agents", manifest, tags)
            load_agents(jobs, agents, target, manifest.listed)
        if manifest.kind == "performance" and manifest.parts:
            table = ensure_table(jobs, target.performance, "performance", manifest, tags)
        return table

    def _merge(self) -> tuple[QueryJob | None, dict[str, int]]:
        """Merge, and check that the target equals the walk; return the job, if any, and counts."""
        walk, target, merge = self._walk, self._target, None
        has_records = find_table(self._client, target.performance) is not None
        # A score that the user drops does not come back from a record.
        takes_scores = has_records and self._manifest.columns.get("final_score") != DROP
        rows = count_rows(self._client, target) if walk else 0
        agents = self._compare(takes_scores)
        if walk:
            require_few_gone(agents, walk, target, self._options.erasure_limit)
        all_agents = total(agents)
        counts = {
            "changed": all_agents.missing + all_agents.differing + all_agents.duplicates,
            "erased": all_agents.to_erase,
            "purged": all_agents.purged if walk else 0,
        }
        self._purge_recordings(all_agents)
        # A task that resumes after its merge finds nothing to do, and reads the counts from the
        # labels of the merge.
        merge_name = self._staging.job_name("merge")
        is_resumed = (self._options.resumed_job or "").startswith(merge_name)
        if counts["changed"] or counts["erased"] or is_resumed:
            ensure_lock(self._jobs, target)
            statement = self._render(
                "merge",
                has_performance=takes_scores,
                staged_rows=self._manifest.rows,
                duplicates=all_agents.duplicates,
                gone_agents=[agent.agent_id for agent in agents if agent.to_erase],
                erased_at=walk.ended_at if walk else None,
            )
            merge = self._jobs.run_statement(merge_name, statement, counts)
            counts = {name: int(merge.labels.get(name, count)) for name, count in counts.items()}
            # The merge inserts what is missing and deletes duplicates. If the table now has just
            # that many rows, no other software interfered, and a second comparison is saved.
            rows += all_agents.missing - all_agents.duplicates
            if walk and count_rows(self._client, target) == rows:
                agents = [agent.expected_after_merge() for agent in agents]
            elif walk:
                agents = self._compare(takes_scores)
        if has_records and (walk or all_agents.purged or all_agents.emptied_before):
            # In every such run: a run that was killed after its merge has not done it.
            purged_at = walk.ended_at if walk else datetime.now(UTC)
            statement = self._render("purge_performance", purged_at=purged_at)
            self._jobs.run_statement(self._staging.job_name("purge"), statement, deferrable=False)
        if walk:
            counts["live"] = reconcile(agents, walk, target, counts["erased"])
        return merge, counts

    def _merge_records(self) -> tuple[QueryJob, dict[str, int]]:
        """Merge performance records into their table, and their scores into the target."""
        ensure_lock(self._jobs, self._target)
        keeps_scores = self._manifest.columns.get("final_score") != DROP
        statement = self._render("merge_performance", keeps_scores=keeps_scores)
        merge = self._jobs.run_statement(self._staging.job_name("merge"), statement)
        return merge, {"changed": self._manifest.rows}

    def _purge_recordings(self, all_agents: Comparison) -> None:
        """Delete the recordings of calls whose rows the merge will empty, or has emptied before.

        It comes before the merge: if the task is killed between the two, the next try finds the
        calls again.
        """
        manifest = self._manifest
        is_staged = isinstance(manifest, DetailsManifest) and "archived" in manifest.recordings
        lost = all_agents.purged + all_agents.to_erase + all_agents.emptied_before
        archive = self._options.recordings is not None
        # The archive can have a recording that no row names: it is found by the call's id.
        if is_staged or all_agents.recordings_to_delete or (lost and archive):
            values = {"staged_rows": manifest.rows, "archive": archive}
            self._delete_recordings(self._render("recordings_to_purge", **values))

    def _delete_old_recordings(self, now: datetime, keep: timedelta) -> None:
        """Delete recordings that were kept long enough, then write that into their rows."""
        bounds = {"began_before": now - keep, "archived_before": now}
        if self._delete_recordings(self._render("old_recordings", **bounds)):
            ensure_lock(self._jobs, self._target)
            statement = self._render("mark_recordings_deleted", **bounds)
            self._jobs.run_statement(
                self._staging.job_name("recordings"), statement, deferrable=False
            )

    def _delete_recordings(self, statement: str) -> int:
        """Delete the recordings of the calls that a query finds; return how many calls it found."""
        rows = self._jobs.query(statement, agent_parameters(self._walk)).result()
        recordings = (Recording(**dict(row)) for row in rows)
        self._recordings_deleted += delete_recordings(recordings, self._options.recordings)
        return int(rows.total_rows or 0)

    def _compare(self, has_performance: bool) -> list[Comparison]:
        """Compare what is staged with the target, by agent."""
        statement = self._render("compare", has_performance=has_performance)
        job = self._jobs.query(statement, agent_parameters(self._walk))
        return [Comparison(**dict(row)) for row in job.result()]

    def _render(self, name: str, **values: object) -> str:
        interval = self._manifest.interval
        return render(
            name,
            kind=self._manifest.kind,
            target=self._target,
            staging=self._staging.name,
            interval=interval,
            # Without a walk no agent counts as walked, and none of its calls as gone.
            read_before=self._walk.began_at if self._walk else interval.start,
            **values,
        )
