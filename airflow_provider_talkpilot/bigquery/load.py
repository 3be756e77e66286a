"""One load task: parts into a staging table by one load job, then one MERGE into the target."""

from __future__ import annotations

import hashlib
import logging
import shutil
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import IO

from airflow.providers.common.compat.sdk import ObjectStoragePath
from google.cloud.bigquery import (
    Client,
    LoadJob,
    LoadJobConfig,
    QueryJob,
    QueryJobConfig,
    SourceFormat,
    Table,
    WriteDisposition,
)

from airflow_provider_talkpilot.bigquery.errors import BigQueryLoadError
from airflow_provider_talkpilot.bigquery.jobs import run_job
from airflow_provider_talkpilot.bigquery.schema import staging_schema
from airflow_provider_talkpilot.bigquery.statements import render
from airflow_provider_talkpilot.bigquery.table_id import TableId
from airflow_provider_talkpilot.bigquery.target import ensure_target
from airflow_provider_talkpilot.staging import storage
from airflow_provider_talkpilot.staging.errors import ManifestError, storage_errors
from airflow_provider_talkpilot.staging.manifest import Manifest

log = logging.getLogger(__name__)

STAGING_TABLE_LIFE = timedelta(days=1)
_LABELS = {"source": "talkpilot"}


@dataclass(frozen=True)
class LoadResult:
    """What a load did.

    :param rows: rows staged and loaded.
    :param changed: rows of the target inserted or updated.
    :param load_job_id: None where there was nothing to load.
    :param merge_job_id: likewise.
    :param bytes_processed: bytes that the MERGE read.
    """

    rows: int
    changed: int = 0
    load_job_id: str | None = None
    merge_job_id: str | None = None
    bytes_processed: int = 0


def load_calls(
    client: Client,
    folder: ObjectStoragePath,
    manifest: Manifest,
    target: TableId,
    *,
    location: str | None = None,
) -> LoadResult:
    """Bring what a manifest names into the target table.

    May be run any number of times, and killed at any moment: the result is the same.

    :param client: BigQuery, for the project that pays for the jobs.
    :param folder: where the manifest's parts are.
    :param manifest: what was staged.
    :param target: the table; it and its dataset are created where they are missing.
    :param location: where jobs run; by default where the dataset is.
    :return: what was done.
    :raises ManifestError: when a part is missing or is not what the manifest says.
    :raises BigQueryLoadError: when a job failed or loaded something else than was staged.
    """
    _check_parts(folder, manifest)
    location = ensure_target(client, target, location)
    if not manifest.parts:
        log.info("Nothing is staged for %s; %s stays as it is.", manifest.interval, target)
        return LoadResult(rows=0)
    # Job ids and the staging table's name say which content goes where.
    digest = hashlib.sha256(f"{manifest.digest}/{target}".encode()).hexdigest()[:24]
    staging = target.sibling(f"{target.table}_staging_{digest}")
    _create_staging_table(client, staging, manifest)
    load = run_job(
        client,
        f"talkpilot-load-{digest}",
        location,
        lambda job_id: _submit_load(client, folder, manifest, staging, job_id, location),
    )
    _check_loaded(client, staging, manifest)
    merge = run_job(
        client,
        f"talkpilot-merge-{digest}",
        location,
        lambda job_id: _submit_merge(client, manifest, staging, target, job_id, location),
    )
    client.delete_table(str(staging), not_found_ok=True)
    result = LoadResult(
        rows=manifest.rows,
        changed=merge.num_dml_affected_rows or 0,
        load_job_id=load.job_id,
        merge_job_id=merge.job_id,
        bytes_processed=merge.total_bytes_processed or 0,
    )
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


def _check_parts(folder: ObjectStoragePath, manifest: Manifest) -> None:
    for part in manifest.parts:
        found = storage.size(folder / part.name)
        if found != part.bytes:
            raise ManifestError(
                f"The part {folder / part.name} is not what its manifest says "
                f"({'gone' if found is None else f'{found} bytes'}, not {part.bytes}): run the "
                "task that staged it again."
            )


def _create_staging_table(client: Client, staging: TableId, manifest: Manifest) -> None:
    table = Table(str(staging), schema=staging_schema(manifest.kind))
    table.expires = datetime.now(UTC) + STAGING_TABLE_LIFE
    table.labels = _LABELS
    client.create_table(table, exists_ok=True)


def _submit_load(
    client: Client,
    folder: ObjectStoragePath,
    manifest: Manifest,
    staging: TableId,
    job_id: str,
    location: str | None,
) -> LoadJob:
    config = LoadJobConfig(
        # Never detected: a column of phone numbers would become integers.
        schema=staging_schema(manifest.kind),
        source_format=SourceFormat.NEWLINE_DELIMITED_JSON,
        write_disposition=WriteDisposition.WRITE_TRUNCATE,
        ignore_unknown_values=False,
        labels=_LABELS,
    )
    if folder.protocol in ("gs", "gcs"):
        # BigQuery knows buckets, not Airflow's connection ids.
        uris = [f"gs://{(folder / part.name).path.lstrip('/')}" for part in manifest.parts]
        return client.load_table_from_uri(
            uris, str(staging), job_id=job_id, location=location, job_config=config
        )
    with _collected(folder, manifest) as rows:
        return client.load_table_from_file(
            rows, str(staging), rewind=True, job_id=job_id, location=location, job_config=config
        )


def _collected(folder: ObjectStoragePath, manifest: Manifest) -> IO[bytes]:
    """All parts as one temporary file, for BigQuery takes one upload a job."""
    with storage_errors("write", f"a temporary file in {tempfile.gettempdir()}"):
        rows = tempfile.TemporaryFile(prefix="talkpilot-")  # noqa: SIM115 - the caller closes it
        try:
            _collect(folder, manifest, rows)
            rows.flush()
        except BaseException:
            with suppress(OSError):  # what a full disk refused is tried again
                rows.close()
            raise
    return rows


def _collect(folder: ObjectStoragePath, manifest: Manifest, rows: IO[bytes]) -> None:
    for part in manifest.parts:
        with storage.open_raw(folder / part.name) as raw:
            if hashlib.file_digest(raw, "sha256").hexdigest() != part.sha256:
                raise ManifestError(
                    f"The part {folder / part.name} was altered since it was staged: run the task "
                    "that staged it again."
                )
            raw.seek(0)
            shutil.copyfileobj(storage.decompressed(part.name, raw), rows)


def _check_loaded(client: Client, staging: TableId, manifest: Manifest) -> None:
    loaded = client.get_table(str(staging)).num_rows
    if loaded != manifest.rows:
        raise BigQueryLoadError(
            f"{loaded} row(s) arrived in {staging}, and the manifest says {manifest.rows}. Nothing "
            "was merged; the next try loads again.",
            retryable=True,
        )


def _submit_merge(
    client: Client,
    manifest: Manifest,
    staging: TableId,
    target: TableId,
    job_id: str,
    location: str | None,
) -> QueryJob:
    statement = render(
        f"merge_{manifest.kind}", target=target, staging=staging, interval=manifest.interval
    )
    return client.query(
        statement,
        job_id=job_id,
        location=location,
        job_config=QueryJobConfig(labels=_LABELS),
        job_retry=None,  # run_job decides about another attempt
    )
