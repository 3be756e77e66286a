"""One load task: parts into a staging table by one load job, then one MERGE into the target."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from airflow.providers.common.compat.sdk import ObjectStoragePath
from google.cloud.bigquery import ArrayQueryParameter, Client, QueryJob, QueryJobConfig

from airflow_provider_talkpilot.bigquery.jobs import LABELS, finished, run_job
from airflow_provider_talkpilot.bigquery.policy_tags import staging_tags, tagged
from airflow_provider_talkpilot.bigquery.reconcile import (
    Balance,
    ErasureLimit,
    agents_of,
    began_at,
    can_reconcile,
    require_equal,
    require_few_gone,
    walked_at,
)
from airflow_provider_talkpilot.bigquery.schema import staging_schema
from airflow_provider_talkpilot.bigquery.staging_table import check_parts, fill_staging_table
from airflow_provider_talkpilot.bigquery.statements import render
from airflow_provider_talkpilot.bigquery.table_id import TableId
from airflow_provider_talkpilot.bigquery.target import ensure_target
from airflow_provider_talkpilot.staging.manifests import Manifest
from airflow_provider_talkpilot.staging.progress import log_group

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LoadOptions:
    """How to load.

    :param location: where jobs run; by default where the dataset is.
    :param policy_tags: a policy tag by column; set where it is missing, on the staging table too.
    :param erasure_limit: how many calls of an interval may turn out to be gone.
    :param maximum_bytes_billed: a query that would read more fails; None for no such limit.
    """

    location: str | None = None
    policy_tags: Mapping[str, str] = field(default_factory=dict)
    erasure_limit: ErasureLimit = ErasureLimit()
    maximum_bytes_billed: int | None = None


@dataclass(frozen=True)
class LoadResult:
    """What a load did.

    :param rows: rows staged and loaded.
    :param changed: rows of the target inserted or updated.
    :param erased: rows of the target whose calls are gone from TalkPilot, emptied now.
    :param purged: calls of a walk that turned out to be purged since the target last read them.
    :param live: the interval's calls that live in the target; None where the manifest does not
        tell all calls of its interval.
    :param load_job_id: None where there was nothing to load.
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


def load_calls(
    client: Client,
    folder: ObjectStoragePath,
    manifest: Manifest,
    target: TableId,
    options: LoadOptions | None = None,
) -> LoadResult:
    """Bring what a manifest names into the target table; erase there what TalkPilot erased.

    May be run any number of times, and killed at any moment: the result is the same.

    :param client: BigQuery, for the project that pays for the jobs.
    :param folder: where the manifest's parts are.
    :param manifest: what was staged.
    :param target: the table; it and its dataset are created where they are missing.
    :param options: location, policy tags and limits.
    :return: what was done.
    :raises ManifestError: when a part is missing or is not what the manifest says.
    :raises BigQueryLoadError: when a job failed or loaded something else than was staged, when more
        calls are gone than allowed, or when the target is not equal to the walk afterwards.
    """
    options = options or LoadOptions()
    check_parts(folder, manifest)
    location = ensure_target(
        client,
        target,
        options.location,
        columns=manifest.columns,
        policy_tags=options.policy_tags,
        warn=manifest.kind == "calls",
    )
    if not manifest.parts and not can_reconcile(manifest):
        log.info("Nothing is staged for %s; %s stays as it is.", manifest.interval, target)
        return LoadResult(rows=0, location=location)
    # Job ids and the staging table's name say which content goes where.
    digest = hashlib.sha256(f"{manifest.digest}/{target}".encode()).hexdigest()[:24]
    staging = target.sibling(f"{target.table}_staging_{digest}")
    with log_group("BigQuery jobs, one after the other"):
        load_job_id = fill_staging_table(
            client,
            folder,
            manifest,
            staging,
            schema=tagged(staging_schema(manifest.kind), staging_tags(options.policy_tags)),
            job_name=f"talkpilot-load-{digest}",
            location=location,
        )
        load = _Load(client, manifest, target, staging, digest, location, options)
        result = load.merge(load_job_id)
        client.delete_table(str(staging), not_found_ok=True)
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


class _Load:
    """The statements of one load, once the staging table is filled."""

    def __init__(
        self,
        client: Client,
        manifest: Manifest,
        target: TableId,
        staging: TableId,
        digest: str,
        location: str | None,
        options: LoadOptions,
    ) -> None:
        self._client, self._manifest = client, manifest
        self._target, self._staging = target, staging
        self._digest, self._location, self._options = digest, location, options
        self._bytes_processed = 0

    def merge(self, load_job_id: str | None) -> LoadResult:
        gone = purged = 0
        if can_reconcile(self._manifest):
            before = self._balances()
            require_few_gone(before, self._manifest, self._target, self._options.erasure_limit)
            gone = sum(balance.gone + balance.gone_from_trash for balance in before)
            purged = sum(balance.purged for balance in before)
        merge = self._run(f"merge_{self._manifest.kind}", "merge") if load_job_id else None
        # Not a clause of the MERGE: it seldom runs, and an UPDATE's WHERE always prunes partitions.
        erase = self._erase() if gone else None
        return LoadResult(
            rows=self._manifest.rows,
            changed=_changed(merge),
            erased=_changed(erase),
            purged=purged,
            live=self._reconcile(_changed(erase)),
            load_job_id=load_job_id,
            merge_job_id=merge.job_id if merge else None,
            bytes_processed=self._bytes_processed,
            location=self._location,
        )

    def _erase(self) -> QueryJob:
        return self._run("erase_calls", "erase", erased_at=walked_at(self._manifest))

    def _reconcile(self, erased: int) -> int | None:
        """Compare the target with the walk; give the calls that live in it."""
        if not can_reconcile(self._manifest):
            return None
        after = self._balances()
        require_equal(after, self._manifest, self._target)
        live = sum(balance.live + balance.others for balance in after)
        log.info(
            "Reconciled %s: %s call(s) in TalkPilot, %s staged, %s live in the table, %s erased, "
            "%d agent(s).",
            self._manifest.interval,
            f"{self._manifest.rows:,}",
            f"{sum(balance.staged for balance in after):,}",
            f"{live:,}",
            f"{erased:,}",
            self._manifest.agent_count,
        )
        return live

    def _balances(self) -> list[Balance]:
        statement = self._statement("reconcile_calls")
        config = self._config(agents_of(self._manifest))
        job = finished(self._client.query(statement, location=self._location, job_config=config))
        self._bytes_processed += job.total_bytes_processed or 0
        return [Balance(**dict(row)) for row in job.result()]

    def _run(self, name: str, verb: str, erased_at: datetime | None = None) -> QueryJob:
        statement = self._statement(name, erased_at)
        config = self._config(agents_of(self._manifest) if erased_at else [])

        def submit(job_id: str) -> QueryJob:
            return self._client.query(
                statement,
                job_id=job_id,
                location=self._location,
                job_config=config,
                job_retry=None,  # run_job decides about another attempt
            )

        job = run_job(self._client, f"talkpilot-{verb}-{self._digest}", self._location, submit)
        self._bytes_processed += job.total_bytes_processed or 0
        return job

    def _statement(self, name: str, erased_at: datetime | None = None) -> str:
        return render(
            name,
            target=self._target,
            staging=self._staging,
            interval=self._manifest.interval,
            read_before=began_at(self._manifest),
            erased_at=erased_at,
        )

    def _config(self, parameters: Sequence[ArrayQueryParameter]) -> QueryJobConfig:
        config = QueryJobConfig(labels=LABELS, query_parameters=list(parameters))
        if self._options.maximum_bytes_billed is not None:
            config.maximum_bytes_billed = self._options.maximum_bytes_billed
        return config


def _changed(job: QueryJob | None) -> int:
    return (job.num_dml_affected_rows or 0) if job else 0
