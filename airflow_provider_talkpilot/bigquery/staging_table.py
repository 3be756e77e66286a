"""The staging table: where one load job puts the parts of a manifest, for the MERGE to read."""

from __future__ import annotations

import hashlib
import logging
import shutil
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import IO

from airflow.providers.common.compat.sdk import ObjectStoragePath
from google.cloud.bigquery import (
    Client,
    LoadJob,
    LoadJobConfig,
    SchemaField,
    SourceFormat,
    Table,
    WriteDisposition,
)

from airflow_provider_talkpilot.bigquery.errors import BigQueryLoadError
from airflow_provider_talkpilot.bigquery.jobs import LABELS, run_job
from airflow_provider_talkpilot.bigquery.table_id import TableId
from airflow_provider_talkpilot.staging import storage
from airflow_provider_talkpilot.staging.errors import ManifestError, storage_errors
from airflow_provider_talkpilot.staging.manifests import Manifest

log = logging.getLogger(__name__)

LIFE = timedelta(days=1)


def check_parts(folder: ObjectStoragePath, manifest: Manifest) -> None:
    """Refuse parts that are not what the manifest says, before anything is loaded.

    :raises ManifestError: when one is gone or has another size.
    """
    for part in manifest.parts:
        found = storage.size(folder / part.name)
        if found != part.bytes:
            raise ManifestError(
                f"The part {folder / part.name} is not what its manifest says "
                f"({'gone' if found is None else f'{found} bytes'}, not {part.bytes}): run the "
                "task that staged it again."
            )


def fill_staging_table(
    client: Client,
    folder: ObjectStoragePath,
    manifest: Manifest,
    staging: TableId,
    *,
    schema: Sequence[SchemaField],
    job_name: str,
    location: str | None,
) -> str | None:
    """Create the staging table and load all parts into it, by one job.

    :param client: BigQuery.
    :param folder: where the parts are.
    :param manifest: names them.
    :param staging: the table; what it holds is replaced.
    :param schema: its columns.
    :param job_name: the load job's id without its attempt.
    :param location: where the job runs.
    :return: the job's id; None where there is no part to load.
    :raises BigQueryLoadError: when the job failed, or other rows arrived than were staged.
    """
    table = Table(str(staging), schema=schema)
    # Should the try die here: nothing that it held lives on for longer.
    table.expires = datetime.now(UTC) + LIFE
    table.labels = LABELS
    client.create_table(table, exists_ok=True)
    if not manifest.parts:
        return None
    job = run_job(
        client,
        job_name,
        location,
        lambda job_id: _submit(client, folder, manifest, staging, schema, job_id, location),
    )
    loaded = client.get_table(str(staging)).num_rows
    if loaded != manifest.rows:
        raise BigQueryLoadError(
            f"{loaded} row(s) arrived in {staging}, and the manifest says {manifest.rows}. Nothing "
            "was merged; the next try loads again.",
            retryable=True,
        )
    return str(job.job_id)


def _submit(
    client: Client,
    folder: ObjectStoragePath,
    manifest: Manifest,
    staging: TableId,
    schema: Sequence[SchemaField],
    job_id: str,
    location: str | None,
) -> LoadJob:
    config = LoadJobConfig(
        # Never detected: a column of phone numbers would become integers.
        schema=schema,
        source_format=SourceFormat.NEWLINE_DELIMITED_JSON,
        write_disposition=WriteDisposition.WRITE_TRUNCATE,
        ignore_unknown_values=False,
        labels=LABELS,
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
