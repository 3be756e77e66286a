"""The tables beside the target: what a load job fills for the merge to read, and the lock."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import IO, Any

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


class StagingTable:
    """The rows of a manifest in BigQuery, for a merge to read. BigQuery deletes it after a day.

    It is named after the content, the target, and the schema with its tags, as are the jobs: so a
    next try finds what a killed or deferred one has done.

    :param client: BigQuery.
    :param folder: where the manifest's parts are.
    :param manifest: what was staged.
    :param target: the table that it is beside.
    :param schema: its columns.
    """

    def __init__(
        self,
        client: Client,
        folder: ObjectStoragePath,
        manifest: Manifest,
        target: TableId,
        schema: Sequence[SchemaField],
    ) -> None:
        self._client, self._folder, self._manifest = client, folder, manifest
        self._schema = schema
        content = f"{manifest.digest}/{target}/{[each.to_api_repr() for each in schema]}"
        self.digest = hashlib.sha256(content.encode()).hexdigest()[:24]
        self.name = target.sibling(f"{target.table}_staging_{self.digest}")

    def fill(self, jobs: Jobs) -> LoadJob | None:
        """Load all parts by one job, unless an earlier try has done it.

        :param jobs: runs the job.
        :return: the job; None where the manifest has no part.
        :raises ManifestError: when a part that is uploaded was altered since it was staged.
        :raises BigQueryLoadError: when the job failed, or loaded something else.
        """
        table = Table(str(self.name), schema=self._schema)
        table.expires = datetime.now(UTC) + LIFE
        table.labels = LABELS
        self._client.create_table(table, exists_ok=True)
        if not self._manifest.parts:
            return None
        job = jobs.run(
            f"talkpilot-load-{self.digest}",
            lambda job_id: self._submit(job_id, jobs.location),
            reuse=self._rows() == self._manifest.rows,
        )
        if (rows := self._rows()) != self._manifest.rows:
            raise BigQueryLoadError(
                f"{rows} row(s) arrived in {self.name}, and the manifest says "
                f"{self._manifest.rows}. Nothing was merged; the next try loads again.",
                retryable=True,
            )
        return job

    def drop(self) -> None:
        """Delete it."""
        self._client.delete_table(str(self.name), not_found_ok=True)

    def _rows(self) -> int:
        try:
            return count_rows(self._client, self.name)
        except NotFound:  # another load of the same manifest is done with it
            return 0

    def _submit(self, job_id: str, location: str | None) -> LoadJob:
        """Start the job. BigQuery itself reads parts in ``gs://``; others are uploaded."""
        config = LoadJobConfig(
            # Never detected: a column of phone numbers would become integers.
            schema=self._schema,
            source_format=SourceFormat.NEWLINE_DELIMITED_JSON,
            write_disposition=WriteDisposition.WRITE_TRUNCATE,
            ignore_unknown_values=False,
            labels=LABELS,
        )
        options: dict[str, Any] = {"job_id": job_id, "location": location, "job_config": config}
        if self._folder.protocol in ("gs", "gcs"):
            # BigQuery knows buckets, not Airflow's connection ids.
            paths = [(self._folder / part.name).path for part in self._manifest.parts]
            uris = [f"gs://{path.lstrip('/')}" for path in paths]
            return self._client.load_table_from_uri(uris, str(self.name), **options)
        with _one_file(self._folder, self._manifest) as rows:
            return self._client.load_table_from_file(rows, str(self.name), rewind=True, **options)


def count_rows(client: Client, table: TableId) -> int:
    """Count the rows of a table; BigQuery bills nothing for that."""
    return int(client.get_table(str(table)).num_rows or 0)


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
        while some := raw.read(_COPY_BUFFER):
            with temporary_errors():
                rows.write(some)
