"""Fetches details with many requests in flight, and stages them as they come."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Collection, Iterator
from datetime import UTC, datetime
from typing import Any, NamedTuple

from airflow_provider_talkpilot.api.errors import InvalidRecordError, NotFoundError
from airflow_provider_talkpilot.api.prefetch import Prefetch
from airflow_provider_talkpilot.api.quota import Permit
from airflow_provider_talkpilot.staging import storage
from airflow_provider_talkpilot.staging.enrich.options import MOST_IN_FLIGHT, EnrichOptions
from airflow_provider_talkpilot.staging.enrich.plan import ListedCall
from airflow_provider_talkpilot.staging.errors import ManifestError
from airflow_provider_talkpilot.staging.manifests import DetailsManifest
from airflow_provider_talkpilot.staging.parts import Part, read_records
from airflow_provider_talkpilot.staging.progress import Progress
from airflow_provider_talkpilot.staging.rows.calls import (
    detail_row,
    has_vanished,
    missing_detail_row,
)
from airflow_provider_talkpilot.staging.work import StagedWork

# A kill costs at most BATCH_ROWS details: those in flight and those that are not staged yet. So a
# part is staged when it has BATCH_ROWS less the requests in flight. One that waits for
# BATCH_SECONDS is staged with fewer.
BATCH_ROWS = 100
BATCH_SECONDS = 60.0
# So many small parts become one. Otherwise a million details would be more files than BigQuery
# loads in a job (10,000: cloud.google.com/bigquery/quotas#load_jobs).
PACKED_PARTS = 100
# A few rejects are accidents. More are a change of the API, and further requests would be wasted.
MOST_ACCIDENTS = 10
# If so many calls of one agent have vanished, the agent itself may be gone.
MOST_VANISHED = 10

log = logging.getLogger(__name__)


class Detail(NamedTuple):
    """The result of one request.

    :param row: the detail's row.
    :param reject: in place of a row, a record that failed validation and why.
    :param drift: the detail's columns whose values did not fit.
    """

    row: dict[str, Any] | None = None
    reject: dict[str, Any] | None = None
    drift: Collection[str] = ()


class DetailBatches:
    """Fetches details, stages them in parts, and saves a checkpoint with each part.

    :param work: what is staged; after an error its client's quota is closed.
    :param options: how to enrich.
    """

    def __init__(self, work: StagedWork[DetailsManifest], options: EnrichOptions) -> None:
        self._work, self._manifest, self._options = work, work.manifest, options
        self._window = min(options.concurrency, MOST_IN_FLIGHT)
        self._vanished, self._gone_agents = Counter[str](), set[str]()

    def fetch(self, missing: Iterator[ListedCall], progress: Progress) -> None:
        """Fetch details and stage them; an error leaves after all results are staged.

        Stops early, without an error, when many more records than allowed failed validation.

        :param missing: the calls, in order.
        """
        client, most_rejects = self._work.client, self._options.max_rejects + MOST_ACCIDENTS
        # Prefetch flushes before a longer wait: then a kill in an hour of waiting costs nothing.
        wanted = (call for call in missing if call.agent_id not in self._gone_agents)
        with Prefetch(client.quota, self._fetch, wanted, self._window, self.flush) as details:
            try:
                for detail in details:
                    self._add(detail)
                    self._look_up_agent(detail)
                    progress.step()
                    if self._manifest.rejected + self._work.rejects.rows > most_rejects:
                        break
            except BaseException as error:
                # No request may wait for the quota now. A killed task may have little time left.
                client.quota.close()
                if self._options.archive and not isinstance(error, Exception):
                    self._options.archive.close()
                self.flush()
                raise
            finally:
                # The requests in flight are spent: stage their details too.
                for detail in details.rest():
                    self._add(detail)
                self.flush()

    def _fetch(self, call: ListedCall, permit: Permit) -> Detail:
        choices, archive = self._options.choices, self._options.archive
        try:
            detail = self._work.client.call(call.agent_id, call.id, permit)
        except NotFoundError:
            return Detail(
                missing_detail_row(
                    *(call.id, call.agent_id, call.created_at, call.version),
                    datetime.now(UTC),
                    deleted=call.deleted,
                )
            )
        except InvalidRecordError as error:
            return Detail(reject=choices.reject(call.agent_id, error.reason, error.record))
        purged_meanwhile = detail.is_purged and not call.purged
        list_extra = None if purged_meanwhile else call.extra
        row = choices.row(detail_row(detail, call.version, datetime.now(UTC), list_extra))
        if archive and not call.archived:
            row |= archive.archive(detail)
        return Detail(row, drift=detail.drift.keys())

    def _look_up_agent(self, detail: Detail) -> None:
        """Find out, for one request, whether not only some calls of an agent are gone, but all."""
        if not detail.row or not has_vanished(detail.row):
            return
        agent_id = detail.row["agent_id"]
        self._vanished[agent_id] += 1
        if self._vanished[agent_id] != MOST_VANISHED:
            return
        try:
            next(self._work.client.walk_calls(agent_id, self._manifest.interval))
        except NotFoundError:
            self._gone_agents.add(agent_id)
            log.warning(
                "The agent %s is gone from TalkPilot, or the key may no longer see it: no more of "
                "its details are requested.",
                agent_id,
            )

    def _add(self, detail: Detail) -> None:
        """Count and write a result; stage the part when it is full, or old enough."""
        manifest = self._manifest
        manifest.fetched += 1
        _count(manifest.drift, *detail.drift)
        if detail.reject:
            self._work.rejects.write([detail.reject])
            manifest.reject_reason = manifest.reject_reason or detail.reject["reason"]
        elif detail.row:
            self._work.rows.write([detail.row])
            manifest.vanished += has_vanished(detail.row)
            if status := detail.row.get("recording_status"):
                _count(manifest.recordings, status)
        is_late = time.monotonic() - self._work.flushed_at >= BATCH_SECONDS
        if is_late or self._work.rows.rows >= BATCH_ROWS - self._window:
            self.flush()

    def flush(self) -> None:
        """Stage the rows and rejects that were added since the last flush."""
        if self._work.flush():
            packed = self._pack()
            self._manifest.save_checkpoint(self._work.folder)
            for small in packed:
                storage.delete(self._work.folder / small.name)

    def _pack(self) -> list[Part]:
        """Stage one part in place of the last small ones, if there are many.

        :return: the small ones. They may be deleted once a checkpoint names the large one.
        """
        small = self._manifest.parts[-PACKED_PARTS:]
        if len(small) < PACKED_PARTS or any(part.rows > BATCH_ROWS for part in small):
            return []
        try:
            with self._work.rows.all_or_nothing():
                for part in small:
                    self._work.rows.write(read_records(self._work.folder / part.name))
        except ManifestError:  # another run of the interval packed or cleaned them
            return []
        large = self._work.rows.flush()
        self._manifest.parts[-PACKED_PARTS:] = [large] if large else []
        return small


def _count(counts: dict[str, int], *names: str) -> None:
    for name in names:
        counts[name] = counts.get(name, 0) + 1
