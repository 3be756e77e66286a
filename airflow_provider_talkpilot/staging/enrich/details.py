"""Details from the API: many requests in flight, staged as they come."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator
from concurrent.futures import Future
from datetime import UTC, datetime
from typing import Any, NamedTuple, Protocol

from airflow_provider_talkpilot.api import CallDetail, TalkPilotClient
from airflow_provider_talkpilot.api.errors import InvalidRecordError, NotFoundError
from airflow_provider_talkpilot.api.prefetch import Prefetch
from airflow_provider_talkpilot.api.quota import Permit
from airflow_provider_talkpilot.compat import ObjectStoragePath
from airflow_provider_talkpilot.staging import storage
from airflow_provider_talkpilot.staging.choices import KEEP_ALL, ColumnChoices
from airflow_provider_talkpilot.staging.enrich.plan import Wanted
from airflow_provider_talkpilot.staging.errors import ManifestError
from airflow_provider_talkpilot.staging.manifests import DetailsManifest
from airflow_provider_talkpilot.staging.parts import Part, PartWriter, read_records
from airflow_provider_talkpilot.staging.progress import Progress
from airflow_provider_talkpilot.staging.rows import detail_row, missing_detail_row

# A kill costs at most so many details: those in flight and those that are not staged yet. Of these,
# a part has at least LEAST_ROWS, unless the next detail takes long to come.
BATCH_ROWS, LEAST_ROWS = 100, 20
BATCH_SECONDS = 60.0
# So many details wait for their recordings at most.
MOST_WAITING = 200
# So many small parts become one. Otherwise a million details would be more files than BigQuery
# loads in a job (10,000: cloud.google.com/bigquery/quotas#load_jobs).
PACKED_PARTS = 100
# A few records that do not fit are accidents. More are a change of the API, and further requests
# would be waste.
MOST_ACCIDENTS = 10


class Archive(Protocol):
    """Archives recordings, whose addresses die: they are fetched when their details come."""

    def archive(self, call: CallDetail) -> Future[dict[str, Any]]:
        """Begin to archive the recording of a call; gives the columns of it that have a value."""

    def close(self) -> None:
        """Let what is not archived yet fail soon."""


class Detail(NamedTuple):
    """The result of one request.

    :param row: the detail's row; None for a call that vanished after it was listed.
    :param reject: in place of a row, a record that failed validation and why.
    :param drift: the detail's columns whose values did not fit.
    :param recording: the columns of its recording, where that is being archived.
    """

    row: dict[str, Any] | None = None
    reject: dict[str, Any] | None = None
    drift: Collection[str] = ()
    recording: Future[dict[str, Any]] | None = None


class DetailBatches:
    """Turns details into parts, and notes each in the manifest and its checkpoint.

    :param manifest: gets the parts, the requests spent, and counts of all results.
    :param client: counts the requests.
    :param concurrency: requests in flight at most, as far as a batch has room for them.
    """

    def __init__(
        self,
        folder: ObjectStoragePath,
        writer: PartWriter,
        rejects: PartWriter,
        manifest: DetailsManifest,
        client: TalkPilotClient,
        concurrency: int,
    ) -> None:
        self.in_flight = min(concurrency, BATCH_ROWS - LEAST_ROWS)
        self._enough = BATCH_ROWS - self.in_flight
        self._folder, self._writer, self._manifest = folder, writer, manifest
        self._rejects, self._client = rejects, client
        self._spent_before = dict(manifest.requests)
        self._waiting: list[Detail] = []
        self._flushed_at = time.monotonic()
        self.rejected = 0

    def add(self, detail: Detail) -> None:
        """Add a result; stage the batch when it is full, or a minute old."""
        self._manifest.fetched += 1
        for name in detail.drift:
            self._manifest.drift[name] = self._manifest.drift.get(name, 0) + 1
        if detail.reject:
            self.rejected += 1
            self._rejects.write([detail.reject])
            self._manifest.reject_reason = self._manifest.reject_reason or detail.reject["reason"]
        elif detail.row:
            self._waiting.append(detail)
        else:
            self._manifest.vanished += 1
        is_late = time.monotonic() - self._flushed_at >= BATCH_SECONDS
        if len(self._waiting) >= MOST_WAITING or is_late:
            self.flush()
        elif len(self._waiting) >= self._enough:
            self.flush(only_ready=True)

    def flush(self, *, only_ready: bool = False) -> None:
        """Stage the rows and rejects since the last time, once their recordings are archived.

        :param only_ready: do not wait for recordings: stage the other rows, if they are enough.
        """
        ready, waiting = list[Detail](), list[Detail]()
        for each in self._waiting:
            is_ready = not only_ready or each.recording is None or each.recording.done()
            (ready if is_ready else waiting).append(each)
        if only_ready and len(ready) < self._enough:
            return
        self._waiting = waiting
        counts = self._manifest.recordings
        for detail in ready:
            recording = detail.recording.result() if detail.recording else {}
            self._writer.write([(detail.row or {}) | recording])
            if status := recording.get("recording_status"):
                counts[status] = counts.get(status, 0) + 1
        part = self._writer.flush()
        if rejects := self._rejects.flush():
            self._manifest.rejects.append(rejects)
        self._manifest.add_requests(self._spent_before, self._client.requests)
        if part:
            self._manifest.parts.append(part)
            packed = self._pack()
            self._manifest.save_checkpoint(self._folder)
            for small in packed:
                storage.delete(self._folder / small.name)
        self._flushed_at = time.monotonic()

    def _pack(self) -> list[Part]:
        """Make one part of the last small ones, if they are many.

        :return: the small ones, to be deleted once a checkpoint names the large one instead.
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


def fetch_details(
    client: TalkPilotClient,
    missing: Iterator[Wanted],
    batches: DetailBatches,
    progress: Progress,
    max_rejects: int = 0,
    choices: ColumnChoices = KEEP_ALL,
    archive: Archive | None = None,
) -> None:
    """Fetch details and stage them; whatever ends it early, every result is staged.

    Ends early, without an error, when many more records than allowed failed validation.

    :param client: the API; after an error its quota is closed.
    :param missing: the calls, in order.
    :param archive: archives the recordings of those whose recording is not known.
    """

    def fetch(call: Wanted, permit: Permit) -> Detail:
        return _fetch(client, choices, call, permit, None if call.recorded else archive)

    # What came is staged before a longer wait: a kill in an hour of waiting costs nothing.
    with Prefetch(client.quota, fetch, missing, batches.in_flight, batches.flush) as details:
        try:
            for detail in details:
                batches.add(detail)
                progress.step()
                if batches.rejected > max_rejects + MOST_ACCIDENTS:
                    break
        except BaseException as error:
            # No request may go on waiting for the quota. A killed task may have little time left.
            client.quota.close()
            if archive and not isinstance(error, Exception):
                archive.close()
            batches.flush()
            raise
        finally:
            # Requests in flight are paid for.
            for detail in details.rest():
                batches.add(detail)
            batches.flush()


def _fetch(
    client: TalkPilotClient,
    choices: ColumnChoices,
    call: Wanted,
    permit: Permit,
    archive: Archive | None,
) -> Detail:
    try:
        detail = client.call(call.agent_id, call.id, permit)
    except NotFoundError:
        if not call.deleted:
            return Detail()
        known = call.id, call.agent_id, call.created_at, call.version
        return Detail(missing_detail_row(*known, datetime.now(UTC)))
    except InvalidRecordError as error:
        record = choices.reject(error.record)
        return Detail(reject={"agent_id": call.agent_id, "reason": error.reason, "record": record})
    row = choices.row(detail_row(detail, call.version, datetime.now(UTC)))
    recording = archive.archive(detail) if archive else None
    return Detail(row, drift=detail.drift.keys(), recording=recording)
