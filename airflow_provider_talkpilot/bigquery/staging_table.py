"""The tables beside the target: what a load job fills for the merge to read, and the lock."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import IO

from google.api_core.exceptions import NotFound
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
from airflow_provider_talkpilot.bigquery.jobs import LABELS, Jobs
from airflow_provider_talkpilot.bigquery.statements import render
from airflow_provider_talkpilot.bigquery.table_id import TableId
from airflow_provider_talkpilot.compat import ObjectStoragePath
from airflow_provider_talkpilot.staging import storage
from airflow_provider_talkpilot.staging.errors import ManifestError, storage_errors
from airflow_provider_talkpilot.staging.manifests import Manifest
from airflow_provider_talkpilot.staging.scratch import temporary_errors, temporary_file

LIFE = timedelta(days=1)
_COPY_BUFFER = 1 << 20


def check_parts(folder: ObjectStoragePath, manifest: Manifest) -> None:
    """Compare the parts with the manifest, before anything is loaded.

    :raises ManifestError: when a part is missing or has another size.
    """
    for part in manifest.parts:
        found = storage.size(folder / part.name)
        if found != part.bytes:
            raise ManifestError(
                f"The part {folder / part.name} is not what its manifest says "
                f"({'gone' if found is None else f'{found} bytes'}, not {part.bytes}): run the "
                "task that staged it again."
            )


def create_staging_table(client: Client, name: TableId, schema: Sequence[SchemaField]) -> None:
    """Create the table where it is missing; BigQuery deletes it after a day."""
    table = Table(str(name), schema=schema)
    table.expires = datetime.now(UTC) + LIFE
    table.labels = LABELS
    client.create_table(table, exists_ok=True)


def ensure_lock(client: Client, jobs: Jobs, target: TableId) -> TableId:
    """Create the table whose one row every load changes, where it is missing.

    Its row comes with it: without a row there would be nothing to wait for.

    :return: its name.
    :raises BigQueryLoadError: when it cannot be made.
    """
    lock = target.sibling(f"{target.table}_lock")
    try:
        client.get_table(str(lock))
    except NotFound:
        try:
            jobs.query(render("create_lock", target=target, lock=lock))
        except BigQueryLoadError:
            # Another load may have done it at the same moment.
            with suppress(NotFound):
                client.get_table(str(lock))
                return lock
            raise
    return lock


def submit_load_job(
    client: Client,
    folder: ObjectStoragePath,
    manifest: Manifest,
    name: TableId,
    schema: Sequence[SchemaField],
    *,
    job_id: str,
    location: str | None,
) -> LoadJob:
    """Start one job that loads all parts.

    BigQuery itself reads parts in ``gs://``; others are uploaded.

    :param client: BigQuery.
    :param folder: where the parts are.
    :param manifest: names the parts.
    :param name: the staging table; its rows are replaced.
    :param schema: its columns.
    :param job_id: the job's id.
    :param location: where the job runs.
    :raises ManifestError: when a part that is uploaded was altered since it was staged.
    """
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
            uris, str(name), job_id=job_id, location=location, job_config=config
        )
    with _one_file(folder, manifest) as rows:
        return client.load_table_from_file(
            rows, str(name), rewind=True, job_id=job_id, location=location, job_config=config
        )


@contextmanager
def _one_file(folder: ObjectStoragePath, manifest: Manifest) -> Iterator[IO[bytes]]:
    """All parts as one temporary file, because a load job takes one upload."""
    with temporary_file() as rows:
        for part in manifest.parts:
            _append(folder / part.name, part.sha256, rows)
        with temporary_errors():
            rows.flush()
        yield rows


def _append(part: ObjectStoragePath, sha256: str, rows: IO[bytes]) -> None:
    with storage_errors("read", part), storage.open_raw(part) as raw:
        if hashlib.file_digest(raw, "sha256").hexdigest() != sha256:
            raise ManifestError(
                f"The part {part} was altered since it was staged: run the task that staged it "
                "again."
            )
        raw.seek(0)
        content = storage.decompressed(part.name, raw)
        while some := content.read(_COPY_BUFFER):
            with temporary_errors():
                rows.write(some)
