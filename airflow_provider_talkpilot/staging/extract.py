"""Extraction: every agent's verified walk of an interval, staged as parts and a manifest."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from airflow.providers.common.compat.sdk import ObjectStoragePath

from airflow_provider_talkpilot.api import CallFilters, Interval, TalkPilotClient
from airflow_provider_talkpilot.api.errors import WalkMovedError
from airflow_provider_talkpilot.staging import storage
from airflow_provider_talkpilot.staging.days import with_calls
from airflow_provider_talkpilot.staging.manifest import AgentWalk, Manifest
from airflow_provider_talkpilot.staging.parts import PartWriter
from airflow_provider_talkpilot.staging.rows import call_row

log = logging.getLogger(__name__)

# A list read longer ago says too little about the interval as it is now.
CHECKPOINT_AGE = timedelta(hours=6)
# A part ends after the first whole walk beyond this many bytes, or this many seconds.
PART_BYTES = 64 * 1024 * 1024
PART_SECONDS = 60.0
WALKS = 3
# A walk cannot be cut in two. Beyond this many pages waiting for the quota in the worker is cheaper
# than throwing the walk away.
PATIENT_PAGES = 100


@dataclass(frozen=True)
class ExtractPlan:
    """What to extract.

    :param interval: which calls, by ``created_at``.
    :param agent_ids: of which agents; None for all that the key can see.
    :param filters: the API's filters; with any, the result is a selection.
    :param compress: gzip the parts.
    :param max_rejects: records that may fail validation before the run fails.
    """

    interval: Interval
    agent_ids: Sequence[str] | None = None
    filters: CallFilters = CallFilters()
    compress: bool = False
    max_rejects: int = 0


def extract_calls(
    client: TalkPilotClient, folder: ObjectStoragePath, plan: ExtractPlan
) -> tuple[Manifest, ObjectStoragePath]:
    """Walk every agent and stage the list rows.

    Goes on from the checkpoint of an interrupted run of the same folder. Whatever ends the work
    early, finished walks are staged first.

    :param client: the API.
    :param folder: the interval's folder.
    :param plan: what to extract.
    :return: the manifest and its path.
    :raises IntervalError: when the interval is not over.
    :raises WalkMovedError: when an agent's list kept changing.
    :raises TooManyRejectsError: when more records than allowed did not validate.
    """
    plan.interval.require_over()
    with _Extraction(client, folder, plan) as extraction:
        manifest = extraction.run()
    path = manifest.save(folder)
    Manifest.delete_checkpoint(folder, "calls")
    return manifest, path


class _Extraction:
    def __init__(
        self, client: TalkPilotClient, folder: ObjectStoragePath, plan: ExtractPlan
    ) -> None:
        self._client, self._folder, self._plan = client, folder, plan
        self._manifest = self._resume() or Manifest(
            kind="calls",
            start=plan.interval.start,
            end=plan.interval.end,
            selection=sorted(plan.filters.active()),
            started_at=datetime.now(UTC),
        )
        self._spent_before = dict(self._manifest.requests)
        self._parts = PartWriter(
            folder, "calls", compress=plan.compress, first=len(self._manifest.parts)
        )
        self._rejects = PartWriter(
            folder, "rejects", compress=plan.compress, first=len(self._manifest.rejects)
        )
        self._walked: list[AgentWalk] = []
        self._flushed_at = time.monotonic()

    def __enter__(self) -> _Extraction:
        return self

    def __exit__(self, *_: object) -> None:
        self._parts.__exit__()
        self._rejects.__exit__()

    def run(self) -> Manifest:
        try:
            for agent_id in self._agents_left():
                self._walked.append(self._walk(agent_id))
                if self._part_is_due():
                    self._flush()
        finally:
            self._flush()
        self._manifest.require_rejects_within(self._plan.max_rejects, self._folder)
        return self._manifest

    def _agents_left(self) -> list[str]:
        agents = self._plan.agent_ids
        if agents is None:
            agents = [agent.id for agent in self._client.agents()]
        done = {walk.agent_id for walk in self._manifest.agents}
        left = [agent_id for agent_id in dict.fromkeys(agents) if agent_id not in done]
        log.info(
            "Walking the calls of %d agent(s) in %s%s.",
            len(left),
            self._plan.interval,
            f"; {len(done)} done before" if done else "",
        )
        return left

    def _walk(self, agent_id: str) -> AgentWalk:
        """Walk one agent until a walk was whole; rows of the others are taken back."""
        marks = self._parts.mark(), self._rejects.mark()
        days = self._manifest.days
        max_wait = self._client.quota.max_wait
        for walk in range(1, WALKS + 1):
            try:
                calls, rejected = self._read(agent_id)
            except BaseException as error:
                self._parts.rollback(marks[0])
                self._rejects.rollback(marks[1])
                self._manifest.days = days
                if not isinstance(error, WalkMovedError) or walk == WALKS:
                    raise
                log.info("%s Walking this agent again.", error)
            else:
                return AgentWalk(
                    agent_id=agent_id,
                    calls=calls,
                    rejected=rejected,
                    walks=walk,
                    walked_at=datetime.now(UTC),
                )
            finally:
                self._client.quota.max_wait = max_wait
        raise AssertionError("unreachable")

    def _read(self, agent_id: str) -> tuple[int, int]:
        """Write one walk's rows; return the number of calls and of rejects."""
        calls = rejected = 0
        pages = self._client.walk_calls(agent_id, self._plan.interval, self._plan.filters)
        for number, page in enumerate(pages, 1):
            now = datetime.now(UTC)
            self._parts.write(call_row(call, now) for call in page.calls)
            self._manifest.days = with_calls(self._manifest.days, page.calls)
            for reject in page.rejects:
                self._manifest.reject_reason = self._manifest.reject_reason or reject.reason
                self._rejects.write(
                    [{"agent_id": agent_id, "reason": reject.reason, "record": reject.record}]
                )
            calls += len(page.calls)
            rejected += len(page.rejects)
            if number >= PATIENT_PAGES:
                self._client.quota.max_wait = None
        return calls, rejected

    def _part_is_due(self) -> bool:
        return (
            self._parts.bytes >= PART_BYTES or time.monotonic() - self._flushed_at >= PART_SECONDS
        )

    def _flush(self) -> None:
        """Stage the finished walks and note them in the checkpoint."""
        if not self._walked:
            return
        for writer, staged in (
            (self._parts, self._manifest.parts),
            (self._rejects, self._manifest.rejects),
        ):
            if part := writer.flush():
                staged.append(part)
        self._manifest.agents += self._walked
        self._walked = []
        self._manifest.add_requests(self._spent_before, self._client.requests)
        self._manifest.save_checkpoint(self._folder)
        self._flushed_at = time.monotonic()

    def _resume(self) -> Manifest | None:
        """The unfinished work of an earlier try, where it is recent and all there."""
        found = Manifest.load_checkpoint(self._folder, "calls")
        if found is None:
            return None
        whole = all(storage.size(self._folder / p.name) == p.bytes for p in found.parts)
        recent = datetime.now(UTC) - found.started_at < CHECKPOINT_AGE
        # Rejects made the earlier try fail; asking again is how they can become right.
        return found if whole and recent and not found.rejects else None
