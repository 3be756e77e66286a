"""Details staged as they come, so that a kill costs at most one batch."""

from __future__ import annotations

import time
from typing import Any

from airflow.providers.common.compat.sdk import ObjectStoragePath

from airflow_provider_talkpilot.api import TalkPilotClient
from airflow_provider_talkpilot.staging.manifest import Manifest
from airflow_provider_talkpilot.staging.parts import PartWriter

# What a kill can cost: details that were asked for and are not staged yet. So many, and of what is
# staged a hundredth up to a limit: else a million details would be more parts than BigQuery loads
# in a job (10,000: cloud.google.com/bigquery/quotas#load_jobs), each noted in the manifest.
BATCH_ROWS, BATCH_SHARE, MOST_ROWS = 100, 100, 1000
BATCH_SECONDS = 60.0
# Nothing has come for so long (the quota is used up): staging what is here costs no time.
IDLE_SECONDS = 5.0
# Parts get no smaller than this, however many requests are in flight.
LEAST_ROWS = 20


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
        manifest: Manifest,
        client: TalkPilotClient,
    ) -> None:
        self._folder, self._writer, self._manifest = folder, writer, manifest
        self._rejects, self._client = rejects, client
        self._rows: list[dict[str, Any]] = []
        self._spent_before = dict(manifest.requests)
        self._flushed_at = time.monotonic()
        self._size = self._full = self._batch_size()

    @property
    def room(self) -> int:
        """How many more details may be asked for, or come, until the batch is staged."""
        return self._size - len(self._rows)

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
        self._full = max(LEAST_ROWS, self._size - in_flight)

    def add(self, row: dict[str, Any] | None) -> None:
        """Add a detail's row; None notes that the call vanished."""
        self._manifest.fetched += 1
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
            self._manifest.save_checkpoint(self._folder)
            self._size = self._batch_size()
        self._flushed_at = time.monotonic()

    def _batch_size(self) -> int:
        return min(MOST_ROWS, max(BATCH_ROWS, self._manifest.rows // BATCH_SHARE))
