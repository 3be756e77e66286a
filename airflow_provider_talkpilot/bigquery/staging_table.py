"""The staging table, which a load job fills and the merge reads; and the lock table."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import IO, Any

from google.cloud.bigquery import (
    Client,
    LoadJob,
    LoadJobConfig,
    SchemaField,
    SourceFormat,
    WriteDisposition,
)

from airflow_provider_talkpilot.bigquery.errors import BigQueryError
from airflow_provider_talkpilot.bigquery.jobs import LABELS, Jobs
from airflow_provider_talkpilot.bigquery.schema import make_table
from airflow_provider_talkpilot.bigquery.statements import render
from airflow_provider_talkpilot.bigquery.table_id import TableId
from airflow_provider_talkpilot.bigquery.target import find_table
from airflow_provider_talkpilot.compat import ObjectStoragePath
from airflow_provider_talkpilot.staging import storage
from airflow_provider_talkpilot.staging.errors import ManifestError, storage_errors
from airflow_provider_talkpilot.staging.manifests import Manifest
from airflow_provider_talkpilot.staging.temporary import temporary_errors, temporary_file

LIFE = timedelta(days=1)
_COPY_BUFFER = 1 << 20


class StagingTable:
    """The rows of a manifest in BigQuery, for a merge to read. BigQuery deletes it after a day.

    Its name and those of the jobs follow from the manifest, the target, and the schema with its
    policy tags. So the next try finds what a killed or deferred try has done.

    :param jobs: runs the job that fills it.
    :param folder: where the manifest's parts are.
    :param manifest: what was staged.
    :param target: the target table.
    :param schema: its columns.
    """

    def __init__(
        self,
        jobs: Jobs,
        folder: ObjectStoragePath,
        manifest: Manifest,
        target: TableId,
        schema: Sequence[SchemaField],
    ) -> None:
        self._jobs, self._client = jobs, jobs.client
        self._folder, self._manifest, self._schema = folder, manifest, schema
        content = f"{manifest.digest}/{target}/{[field.to_api_repr() for field in schema]}"
        self._digest = hashlib.sha256(content.encode()).hexdigest()[:24]
        self.name = target.sibling(f"{target.table}_staging_{self._digest}")

    def fill(self) -> LoadJob | None:
        """Load all parts by one job, unless an earlier try has done it.

        :return: the job; None if the manifest has no part.
        :raises ManifestError: when a part that is uploaded was altered since it was staged.
        :raises BigQueryError: when the job failed, or loaded another number of rows.
        """
        table = make_table(self.name, self._schema)
        table.expires = datetime.now(UTC) + LIFE
        table.labels = LABELS
        self._client.create_table(table, exists_ok=True)
        if not self._manifest.parts:
            return None
        is_full = count_rows(self._client, self.name) == self._manifest.rows
        job = self._jobs.run_job(self.job_name("load"), self._submit, reuse_result=is_full)
        if (rows := count_rows(self._client, self.name)) != self._manifest.rows:
            raise BigQueryError(
                f"{rows} row(s) arrived in {self.name}, and the manifest says "
                f"{self._manifest.rows}. Nothing was merged; the next try loads again.",
                retryable=True,
            )
        return job

    def job_name(self, work: str) -> str:
        """Return the name of a load's job: the same for the same manifest, target and schema."""
        return f"talkpilot-{work}-{self._digest}"

    def drop(self) -> None:
        """Delete the staging table."""
        self._client.delete_table(str(self.name), not_found_ok=True)

    def _submit(self, job_id: str) -> LoadJob:
        """Start the job. BigQuery itself reads parts in ``gs://``; we upload others."""
        config = LoadJobConfig(
            # Detection would make integers of phone numbers.
            schema=self._schema,
            source_format=SourceFormat.NEWLINE_DELIMITED_JSON,
            write_disposition=WriteDisposition.WRITE_TRUNCATE,
            ignore_unknown_values=False,
            labels=LABELS,
        )
        location = self._jobs.location
        options: dict[str, Any] = {"job_id": job_id, "location": location, "job_config": config}
        if self._folder.protocol in ("gs", "gcs"):
            # BigQuery does not know the Airflow connection id in our paths.
            paths = [(self._folder / part.name).path for part in self._manifest.parts]
            uris = [f"gs://{path.lstrip('/')}" for path in paths]
            return self._client.load_table_from_uri(uris, str(self.name), **options)
        with _one_file(self._folder, self._manifest) as rows:
            return self._client.load_table_from_file(rows, str(self.name), rewind=True, **options)


def count_rows(client: Client, table_id: TableId) -> int:
    """Count the rows of a table, 0 if it is missing; BigQuery does not bill that."""
    table = find_table(client, table_id)
    return int(table.num_rows or 0) if table else 0


def ensure_lock(jobs: Jobs, target: TableId) -> None:
    """Create the lock table with its one row, if either is missing. Every load changes that row.

    :raises BigQueryError: when it cannot be created.
    """
    if count_rows(jobs.client, target.lock):
        return
    try:
        jobs.query(render("create_lock", target=target))
    except BigQueryError:
        if not find_table(jobs.client, target.lock):  # no other load has created it either
            raise


@contextmanager
def _one_file(folder: ObjectStoragePath, manifest: Manifest) -> Iterator[IO[bytes]]:
    """Join all parts in one temporary file, because a load job takes one upload."""
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
        while block := raw.read(_COPY_BUFFER):
            with temporary_errors():
                rows.write(block)
