"""Details staged as they come, so that a kill costs at most one batch."""

from __future__ import annotations

import time
from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any

from airflow.providers.common.compat.sdk import ObjectStoragePath

from airflow_provider_talkpilot.api import TalkPilotClient
from airflow_provider_talkpilot.staging import storage
from airflow_provider_talkpilot.staging.errors import ManifestError
from airflow_provider_talkpilot.staging.manifests import Checkpoint, DetailsManifest
from airflow_provider_talkpilot.staging.parts import Part, PartWriter, read_records

# What a kill can cost: details that were asked for and are not staged yet.
BATCH_ROWS = 100
BATCH_SECONDS = 60.0
# Nothing has come for so long (the quota is used up): staging what is here costs no time.
IDLE_SECONDS = 5.0
# Parts get no smaller than this, however many requests are in flight.
LEAST_ROWS = 20
# So many small parts become one. Else a million details would be more files than BigQuery loads in
# a job (10,000: cloud.google.com/bigquery/quotas#load_jobs), each noted in every checkpoint.
PACKED_PARTS = 100


class Batches:
    """Turns details into parts, and notes each in the manifest and its checkpoint.

    :param folder: where parts go.
    :param writer: writes them.
    :param rejects: writes the records that failed validation.
    :param manifest: gets the parts, the requests spent, what was fetched and what vanished.
    :param client: counts the requests.
    """

    def __init__(
        self,
        folder: ObjectStoragePath,
        writer: PartWriter,
        rejects: PartWriter,
        manifest: DetailsManifest,
        client: TalkPilotClient,
    ) -> None:
        self._folder, self._writer, self._manifest = folder, writer, manifest
        self._rejects, self._client = rejects, client
        self._rows: list[dict[str, Any]] = []
        self._spent_before = dict(manifest.requests)
        self._flushed_at = time.monotonic()
        self._full = BATCH_ROWS

    @property
    def room(self) -> int:
        """How many more details may be asked for, or come, until the batch is staged."""
        return BATCH_ROWS - len(self._rows)

    @property
    def rows_left(self) -> int:
        """How many more rows make the batch full."""
        return self._full - len(self._rows)

    def seconds_left(self, came_at: float) -> float:
        """To wait for more answers until the batch must be staged, however small it is.

        :param came_at: monotonic time of the last answer.
        """
        idle_until = max(came_at, self._flushed_at) + IDLE_SECONDS
        return min(idle_until, self._flushed_at + BATCH_SECONDS) - time.monotonic()

    def leave_room_for(self, in_flight: int) -> None:
        """Stage earlier, so that so many requests can go on meanwhile."""
        self._full = max(LEAST_ROWS, BATCH_ROWS - in_flight)

    def add(self, row: dict[str, Any] | None, drift: Collection[str] = ()) -> None:
        """Add a detail's row; None notes that the call vanished.

        :param drift: its columns whose values did not fit.
        """
        self._manifest.fetched += 1
        for name in drift:
            self._manifest.drift[name] = self._manifest.drift.get(name, 0) + 1
        if row is None:
            self._manifest.vanished += 1
            return
        self._rows.append(row)
        if len(self._rows) >= self._full:
            self.flush()

    def reject(self, record: dict[str, Any]) -> None:
        """Keep a record aside that failed validation."""
        self._manifest.fetched += 1
        self._rejects.write([record])
        self._manifest.reject_reason = self._manifest.reject_reason or record["reason"]

    def flush(self) -> None:
        """Stage what came since the last time."""
        self._writer.write(self._rows)
        self._rows = []
        part = self._writer.flush()
        if rejects := self._rejects.flush():
            self._manifest.rejects.append(rejects)
        self._manifest.add_requests(self._spent_before, self._client.requests)
        if part:
            self._manifest.parts.append(part)
            packed = self._pack()
            Checkpoint(manifest=self._manifest, worked_at=datetime.now(UTC)).save(self._folder)
            for small in packed:
                storage.delete(self._folder / small.name)
        self._flushed_at = time.monotonic()

    def _pack(self) -> list[Part]:
        """Make one part of the last small ones, if they are many.

        :return: the small ones, to be deleted when a checkpoint names the large one instead.
        """
        small = self._manifest.parts[-PACKED_PARTS:]
        if len(small) < PACKED_PARTS or any(part.rows > BATCH_ROWS for part in small):
            return []
        mark = self._writer.mark()
        try:
            for part in small:
                self._writer.write(read_records(self._folder / part.name))
        except ManifestError:  # another run of the interval has packed or cleaned them
            self._writer.rollback(mark)
            return []
        large = self._writer.flush()
        self._manifest.parts[-PACKED_PARTS:] = [large] if large else []
        return small
