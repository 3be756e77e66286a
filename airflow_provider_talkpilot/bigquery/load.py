"""A load: parts into a staging table by one load job, then one MERGE into the target table."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from airflow.providers.common.compat.sdk import ObjectStoragePath
from google.cloud.bigquery import Client, LoadJob, QueryJob, QueryJobConfig

from airflow_provider_talkpilot.bigquery.errors import BigQueryLoadError
from airflow_provider_talkpilot.bigquery.jobs import LABELS, Jobs
from airflow_provider_talkpilot.bigquery.policy_tags import staging_tags, tagged
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
    check_parts,
    create_staging_table,
    submit_load_job,
)
from airflow_provider_talkpilot.bigquery.statements import render
from airflow_provider_talkpilot.bigquery.table_id import TableId
from airflow_provider_talkpilot.bigquery.target import ensure_dataset, ensure_table
from airflow_provider_talkpilot.staging.manifests import CallsManifest, Manifest
from airflow_provider_talkpilot.staging.progress import log_group

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LoadOptions:
    """How to load.

    :param location: where jobs run; by default where the dataset is.
    :param policy_tags: a policy tag by column; set where it is missing, on the staging table too.
    :param erasure_limit: how many calls of an interval may be gone at once.
    :param maximum_bytes_billed: a query that would read more fails; None for no such limit.
    :param deferrable: whether to raise ``JobRunsError`` for a job that takes long.
    :param resumed_job: id of the job that the task deferred for, where it resumes.
    """

    location: str | None = None
    policy_tags: Mapping[str, str] = field(default_factory=dict)
    erasure_limit: ErasureLimit = ErasureLimit()
    maximum_bytes_billed: int | None = None
    deferrable: bool = False
    resumed_job: str | None = None


@dataclass(frozen=True)
class LoadResult:
    """What a load did.

    :param rows: rows staged and loaded.
    :param changed: rows of the target inserted or updated.
    :param erased: rows of the target that were emptied, because their calls are gone.
    :param purged: calls of the walk that TalkPilot purged since the target last read them.
    :param live: the interval's calls that live in the target; None where the manifest does not
        have all calls of its interval.
    :param load_job_id: None where the manifest has no part.
    :param merge_job_id: likewise.
    :param bytes_processed: bytes that the statements read.
    :param location: where the jobs ran.
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


class Load:
    """Brings the parts of a manifest into the target table; erases there what TalkPilot erased.

    It may run any number of times, and be killed at any moment: the result is the same. What a
    killed or deferred try has done is found in BigQuery, by the ids of its jobs and the rows of the
    staging table, both named after the content and the target.

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
        self._walk: CallsManifest | None = None
        if isinstance(manifest, CallsManifest) and manifest.is_whole_interval:
            self._walk = manifest  # others do not tell which calls are gone
        self._target, self._options = target, options or LoadOptions()
        tags = self._options.policy_tags
        self._schema = tagged(staging_schema(manifest.kind), staging_tags(tags))
        content = f"{manifest.digest}/{target}/{[each.to_api_repr() for each in self._schema]}"
        self._digest = hashlib.sha256(content.encode()).hexdigest()[:24]
        self._staging = target.sibling(f"{target.table}_staging_{self._digest}")
        self._jobs = Jobs(
            client,
            deferrable=self._options.deferrable,
            resumed_job=self._options.resumed_job,
        )
        self._bytes_processed = 0

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
        self._jobs.location = ensure_dataset(
            self._client,
            target,
            options.location,
            warn=manifest.kind == "calls" and not options.resumed_job,  # once a run
        )
        ensure_table(self._client, self._jobs, target, manifest.columns, options.policy_tags)
        if not manifest.parts and not self._walk:
            log.info("Nothing is staged for %s; %s stays as it is.", manifest.interval, target)
            return LoadResult(rows=0, location=self._jobs.location)
        with log_group("BigQuery jobs, one after the other"):
            result = self._merge(self._fill_staging_table())
            self._client.delete_table(str(self._staging), not_found_ok=True)
        log.info(
            "%s of %s: %s row(s) loaded, %s of %s inserted or updated, %s bytes processed.",
            manifest.kind.capitalize(),
            manifest.interval,
            f"{result.rows:,}",
            f"{result.changed:,}",
            target,
            f"{result.bytes_processed:,}",
        )
        return result

    def cancel(self) -> None:
        """Cancel the job that runs, from another thread or a signal handler."""
        self._jobs.cancel()

    def _fill_staging_table(self) -> LoadJob | None:
        """Load all parts; an earlier try may have done it."""
        create_staging_table(self._client, self._staging, self._schema)
        if not self._manifest.parts:
            return None

        def submit(job_id: str) -> LoadJob:
            return submit_load_job(
                self._client,
                self._folder,
                self._manifest,
                self._staging,
                self._schema,
                job_id=job_id,
                location=self._jobs.location,
            )

        is_filled = self._staged_rows() == self._manifest.rows
        job = self._jobs.run(f"talkpilot-load-{self._digest}", submit, reuse=is_filled)
        if (rows := self._staged_rows()) != self._manifest.rows:
            raise BigQueryLoadError(
                f"{rows} row(s) arrived in {self._staging}, and the manifest says "
                f"{self._manifest.rows}. Nothing was merged; the next try loads again.",
                retryable=True,
            )
        return job

    def _staged_rows(self) -> int:
        return int(self._client.get_table(str(self._staging)).num_rows or 0)

    def _merge(self, load_job: LoadJob | None) -> LoadResult:
        """Merge the staging table into the target, and prove that it has what the walk gave."""
        manifest, walk = self._manifest, self._walk
        merge = erase = live = None
        gone = purged = 0
        if walk:
            before = self._balances(walk)
            require_few_gone(before, walk, self._target, self._options.erasure_limit)
            gone, purged = total(before, "gone", "gone_from_trash"), total(before, "purged")
        if load_job:
            # The label keeps the figure for a task that resumes after the MERGE: by then the target
            # knows of the purges.
            config = self._config(labels={**LABELS, "purged": str(purged)})
            statement = self._statement(f"merge_{manifest.kind}")
            merge = self._change("merge", statement, config)
            purged = int(merge.labels.get("purged", purged))
        # Not a clause of the MERGE: it seldom runs, and an UPDATE's WHERE always prunes partitions.
        if walk and gone:
            statement = self._statement("erase_calls", walk, erased_at=walk.walked_at)
            config = self._config(query_parameters=agent_parameters(walk))
            erase = self._change("erase", statement, config, deferrable=False)
        if walk:
            live = self._reconcile(walk, _changed(erase))
        return LoadResult(
            rows=manifest.rows,
            changed=_changed(merge),
            erased=_changed(erase),
            purged=purged,
            live=live,
            load_job_id=load_job.job_id if load_job else None,
            merge_job_id=merge.job_id if merge else None,
            bytes_processed=self._bytes_processed,
            location=self._jobs.location,
        )

    def _reconcile(self, walk: CallsManifest, erased: int) -> int:
        """Compare the target with the walk; give the calls that live in it."""
        after = self._balances(walk)
        require_equal(after, walk, self._target)
        live = total(after, "live", "others")
        log.info(
            "Reconciled %s: %s call(s) in TalkPilot, %s staged, %s live in the table, %s erased, "
            "%d agent(s).",
            walk.interval,
            f"{walk.rows:,}",
            f"{total(after, 'staged'):,}",
            f"{live:,}",
            f"{erased:,}",
            walk.agent_count,
        )
        return live

    def _balances(self, walk: CallsManifest) -> list[Balance]:
        config = self._config(query_parameters=agent_parameters(walk))
        job = self._jobs.query(self._statement("reconcile_calls", walk), config)
        self._bytes_processed += job.total_bytes_processed or 0
        return [Balance(**dict(row)) for row in job.result()]

    def _change(
        self, verb: str, statement: str, config: QueryJobConfig, *, deferrable: bool = True
    ) -> QueryJob:
        """Run a statement that changes the target."""

        def submit(job_id: str) -> QueryJob:
            return self._client.query(
                statement,
                job_id=job_id,
                location=self._jobs.location,
                job_config=config,
                job_retry=None,  # Jobs decides about another attempt
            )

        job = self._jobs.run(f"talkpilot-{verb}-{self._digest}", submit, deferrable=deferrable)
        self._bytes_processed += job.total_bytes_processed or 0
        return job

    def _statement(self, name: str, walk: CallsManifest | None = None, **values: object) -> str:
        if walk:
            values["read_before"] = walk.began_at
        return render(
            name,
            target=self._target,
            staging=self._staging,
            interval=self._manifest.interval,
            **values,
        )

    def _config(self, **options: Any) -> QueryJobConfig:
        if self._options.maximum_bytes_billed is not None:
            options["maximum_bytes_billed"] = self._options.maximum_bytes_billed
        return QueryJobConfig(**{"labels": LABELS, **options})


def _changed(job: QueryJob | None) -> int:
    return (job.num_dml_affected_rows or 0) if job else 0
