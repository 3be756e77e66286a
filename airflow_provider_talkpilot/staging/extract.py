"""Extraction: every agent's verified walk of an interval, staged as parts and a manifest."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from airflow.providers.common.compat.sdk import ObjectStoragePath

from airflow_provider_talkpilot.api import CallFilters, Interval, TalkPilotClient
from airflow_provider_talkpilot.api.errors import QuotaExhaustedError, WalkMovedError
from airflow_provider_talkpilot.api.interval import format_utc
from airflow_provider_talkpilot.staging import storage
from airflow_provider_talkpilot.staging.columns import KEEP_ALL, ColumnChoices
from airflow_provider_talkpilot.staging.days import with_calls
from airflow_provider_talkpilot.staging.drift import warn_of_drift, with_drift
from airflow_provider_talkpilot.staging.errors import StagingError, TooManyRejectsError
from airflow_provider_talkpilot.staging.manifest import AgentWalk, Manifest, Pending, UnfinishedWalk
from airflow_provider_talkpilot.staging.parts import PartWriter
from airflow_provider_talkpilot.staging.progress import log_group
from airflow_provider_talkpilot.staging.refused_agents import refused_agents_named
from airflow_provider_talkpilot.staging.rows import call_row
from airflow_provider_talkpilot.staging.split import is_long, parts_of

log = logging.getLogger(__name__)

# Work left alone for longer says too little about the interval as it is now.
CHECKPOINT_AGE = timedelta(hours=6)
# A part ends after the first whole walk beyond this many bytes, or this many seconds. Clients of
# object storage upload up to 50 MB from memory, twice over: a part is smaller than that.
PART_BYTES = 16 * 1024 * 1024
PART_SECONDS = 60.0
WALKS = 3
# A list of more pages is walked in parts; of fewer, where the quota did not last for one walk.
LONG_PAGES, FEWEST_PAGES = 100, 4


@dataclass(frozen=True)
class ExtractPlan:
    """What to extract.

    :param interval: which calls, by ``created_at``.
    :param agent_ids: of which agents; None for all that the key can see.
    :param filters: the API's filters; with any, the result is a selection.
    :param compress: gzip the parts.
    :param max_rejects: records that may fail validation before the run fails.
    :param choices: what is dropped or hashed.
    """

    interval: Interval
    agent_ids: Sequence[str] | None = None
    filters: CallFilters = CallFilters()
    compress: bool = False
    max_rejects: int = 0
    choices: ColumnChoices = KEEP_ALL


def extract_calls(
    client: TalkPilotClient, folder: ObjectStoragePath, plan: ExtractPlan
) -> tuple[Manifest, ObjectStoragePath]:
    """Walk every agent and stage the list rows.

    A long list is walked in parts of the interval, one after the other. Goes on from the checkpoint
    of an interrupted run of the same folder. Whatever ends the work early, finished walks are
    staged first.

    :param client: the API.
    :param folder: the interval's folder.
    :param plan: what to extract.
    :return: the manifest and its path.
    :raises IntervalError: when the interval is not over.
    :raises AgentNotAccessibleError: when an agent is not in the key's list of agents.
    :raises NotFoundError: when an agent does not exist for the key's user.
    :raises WalkMovedError: when an agent's list kept changing.
    :raises TooManyRejectsError: when more records than allowed did not validate.
    """
    plan.interval.require_over()
    with _Extraction(client, folder, plan) as extraction:
        manifest = extraction.run()
    try:
        manifest.require_rejects_within(plan.max_rejects, folder)
    except TooManyRejectsError:
        # Asking again, for everything, is how they can become right.
        Manifest.delete_checkpoint(folder, "calls")
        raise
    warn_of_drift(manifest.drift, plan.choices)
    path = manifest.save(folder)
    Manifest.delete_checkpoint(folder, "calls")
    return manifest, path


class _Extraction:
    def __init__(
        self, client: TalkPilotClient, folder: ObjectStoragePath, plan: ExtractPlan
    ) -> None:
        self._client, self._folder, self._plan = client, folder, plan
        self._agents = self._agent_ids()
        self._manifest = self._resume() or Manifest(
            kind="calls",
            start=plan.interval.start,
            end=plan.interval.end,
            selection=sorted(plan.filters.active()),
            columns=plan.choices.recorded,
            started_at=datetime.now(UTC),
        )
        self._spent_before = dict(self._manifest.requests)
        self._parts = PartWriter(
            folder, "calls", compress=plan.compress, first=len(self._manifest.parts)
        )
        self._rejects = PartWriter(
            folder, "rejects", compress=plan.compress, first=len(self._manifest.rejects)
        )
        # Finished walks, and the first parts of a long one, that are not staged yet.
        self._walked: list[AgentWalk] = []
        self._pending = self._manifest.pending or Pending(
            worked_at=datetime.now(UTC), walk_pages=LONG_PAGES
        )
        self._is_noted = True
        self._pages, self._has_walked = 0, False
        self._flushed_at = time.monotonic()

    def __enter__(self) -> _Extraction:
        return self

    def __exit__(self, *_: object) -> None:
        self._parts.__exit__()
        self._rejects.__exit__()

    def run(self) -> Manifest:
        left = self._agents_left()
        with (
            log_group("Lists, agent by agent"),
            refused_agents_named(self._client, self._plan.agent_ids),
        ):
            self._walk_agents(left)
        self._manifest.pending = None
        if not self._manifest.is_whole(self._folder):
            raise StagingError(
                f"Parts of {self._plan.interval} went while the rest was walked: calls in them "
                "were purged. The next try walks again."
            )
        return self._manifest

    def _walk_agents(self, agent_ids: list[str]) -> None:
        try:
            for agent_id in agent_ids:
                self._walk_agent(agent_id)
        except QuotaExhaustedError:
            if self._pages and not self._has_walked:
                # It would end so every time: others may leave us few requests an hour.
                fewer = max(FEWEST_PAGES, self._pending.walk_pages // 2)
                self._pending.walk_pages = min(self._pending.walk_pages, fewer)
            # What waits is not abandoned, however little was done this time.
            self._is_noted = False
            raise
        finally:
            self._flush()

    def _agent_ids(self) -> list[str]:
        agents = self._plan.agent_ids
        if agents is None:
            agents = [agent.id for agent in self._client.agents()]
        return list(dict.fromkeys(agents))

    def _agents_left(self) -> list[str]:
        done = {walk.agent_id for walk in self._manifest.agents}
        left = [agent_id for agent_id in self._agents if agent_id not in done]
        if self._pending.walk:
            begun = self._pending.walk.agent_id
            left.sort(key=lambda agent_id: agent_id != begun)
        log.info(
            "Walking the calls of %d agent(s) in %s%s.",
            len(left),
            self._plan.interval,
            f"; {len(done)} done before" if done else "",
        )
        return left

    def _walk_agent(self, agent_id: str) -> None:
        """Walk an agent's interval, or what is left of it; a long list in parts."""
        whole, begun = self._plan.interval, self._pending.walk
        left = [Interval(begun.until, whole.end) if begun else whole]
        while left:
            interval = left.pop(0)
            try:
                walk = self._walk(agent_id, interval)
            except _LongListError as error:
                left[:0] = error.parts
                continue
            if self._pending.walk:
                walk = self._pending.walk.joined(walk)
            if left:
                self._pending.walk = UnfinishedWalk(**walk.model_dump(), until=interval.end)
            else:
                self._walked.append(walk)
                self._pending.walk = None
            self._has_walked, self._is_noted = True, False
            if self._part_is_due():
                self._flush()

    def _walk(self, agent_id: str, interval: Interval) -> AgentWalk:
        """Walk an interval of one agent until a walk was whole; take back the rows of the others.

        :raises _LongListError: when it is to be walked in parts.
        """
        marks = self._parts.mark(), self._rejects.mark()
        days, drift = self._manifest.days, self._manifest.drift
        max_wait = self._client.quota.max_wait
        for walk in range(1, WALKS + 1):
            began_at = datetime.now(UTC)
            try:
                calls, rejected = self._read(agent_id, interval)
            except BaseException as error:
                self._parts.rollback(marks[0])
                self._rejects.rollback(marks[1])
                self._manifest.days, self._manifest.drift = days, drift
                if not isinstance(error, WalkMovedError) or walk == WALKS:
                    raise
                log.info("%s Walking it again.", error)
            else:
                return AgentWalk(
                    agent_id=agent_id,
                    calls=calls,
                    rejected=rejected,
                    walks=walk,
                    began_at=began_at,
                    walked_at=datetime.now(UTC),
                )
            finally:
                self._client.quota.max_wait = max_wait
        raise AssertionError("unreachable")

    def _read(self, agent_id: str, interval: Interval) -> tuple[int, int]:
        """Write one walk's rows; return the number of calls and of rejects."""
        choices = self._plan.choices
        calls = rejected = 0
        pages = self._client.walk_calls(agent_id, interval, self._plan.filters)
        for number, page in enumerate(pages, 1):
            self._pages += 1
            if number == 1 and is_long(page.total, self._pending.walk_pages):
                self._cut(interval, page.total)
            now = datetime.now(UTC).isoformat()
            self._parts.write(choices.rows([call_row(call, now) for call in page.calls]))
            self._manifest.days = with_calls(self._manifest.days, page.calls)
            self._manifest.drift = with_drift(self._manifest.drift, page.calls)
            for reject in page.rejects:
                self._manifest.reject_reason = self._manifest.reject_reason or reject.reason
                record = choices.reject(reject.record)
                self._rejects.write(
                    [{"agent_id": agent_id, "reason": reject.reason, "record": record}]
                )
            calls += len(page.calls)
            rejected += len(page.rejects)
        return calls, rejected

    def _cut(self, interval: Interval, total: int) -> None:
        """Leave the walk of a long list for walks of its parts, where it has any."""
        parts = parts_of(interval, total, self._pending.walk_pages)
        if len(parts) > 1:
            log.info("%s call(s) of an agent in %s: %d parts.", f"{total:,}", interval, len(parts))
            raise _LongListError(parts)
        # It cannot be cut: to wait for the quota in the worker is cheaper than to walk it again.
        self._client.quota.max_wait = None

    def _part_is_due(self) -> bool:
        return (
            self._parts.bytes >= PART_BYTES or time.monotonic() - self._flushed_at >= PART_SECONDS
        )

    def _flush(self) -> None:
        """Stage the finished walks and note them in the checkpoint."""
        if self._is_noted:
            return
        for writer, staged in (
            (self._parts, self._manifest.parts),
            (self._rejects, self._manifest.rejects),
        ):
            if part := writer.flush():
                staged.append(part)
        self._manifest.agents += self._walked
        self._walked = []
        self._pending.worked_at = datetime.now(UTC)
        self._manifest.pending = self._pending
        self._manifest.add_requests(self._spent_before, self._client.requests)
        self._manifest.save_checkpoint(self._folder)
        self._is_noted = True
        self._flushed_at = time.monotonic()
        if begun := self._pending.walk:
            log.info(
                "%s call(s) of an agent staged, up to %s.",
                f"{begun.calls:,}",
                format_utc(begun.until),
            )

    def _resume(self) -> Manifest | None:
        """The unfinished work of an earlier try, where it is recent and all there."""
        found = Manifest.load_checkpoint(self._folder, "calls")
        if found is None or found.pending is None:
            return None
        staged = (*found.parts, *found.rejects)
        whole = all(storage.size(self._folder / part.name) == part.bytes for part in staged)
        recent = datetime.now(UTC) - found.pending.worked_at < CHECKPOINT_AGE
        # Rows of an agent that cannot be walked to its end must not be among those of whole walks.
        begun = found.pending.walk
        possible = begun is None or begun.agent_id in self._agents
        return found if whole and recent and possible else None


class _LongListError(Exception):
    """A list to be walked in parts."""

    def __init__(self, parts: list[Interval]) -> None:
        super().__init__(f"{len(parts)} parts")
        self.parts = parts
