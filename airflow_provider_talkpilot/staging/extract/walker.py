"""The walks of one try: agent after agent, staged as parts, with a checkpoint after each part."""

from __future__ import annotations

import logging
import math
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import tenacity

from airflow_provider_talkpilot.api import Call, CallFilters, Interval
from airflow_provider_talkpilot.api.errors import (
    NotFoundError,
    QuotaExhaustedError,
)
from airflow_provider_talkpilot.api.interval import format_utc
from airflow_provider_talkpilot.api.walk import PAGE_LIMIT, WALK_AGAIN, RecordPage
from airflow_provider_talkpilot.staging.manifests import DayCount, ListManifest, WalkedAgent
from airflow_provider_talkpilot.staging.rows.calls import call_row
from airflow_provider_talkpilot.staging.rows.choices import KEEP_ALL, ColumnChoices
from airflow_provider_talkpilot.staging.rows.performance import performance_row
from airflow_provider_talkpilot.staging.work import StagedWork

log = logging.getLogger(__name__)

# After a whole walk, the rows become a part if they have this many bytes, or have waited this long.
# Clients of object storage upload up to 50 MB from memory, twice over: a part is smaller.
PART_BYTES = 16 * 1024 * 1024
PART_SECONDS = 60.0
# A list of fewer pages is never cut, however little quota is left.
FEWEST_PAGES = 4
# A walk reads a second more on each side. A shorter slice would be little else.
SHORTEST = timedelta(minutes=1)
WHAT = {"calls": "calls", "performance": "performance records"}


@dataclass(frozen=True)
class ExtractOptions:
    """What to extract.

    :param interval: which calls, by ``created_at``.
    :param agent_ids: which agents; None for all that the key can see.
    :param filters: the API's filters; with any, the result is a selection.
    :param max_rejects: records that may fail validation before the run fails.
    :param choices: which columns are dropped or hashed.
    :param agent_prompts: keep the prompts and greetings of listed agents.
    """

    interval: Interval
    agent_ids: Sequence[str] | None = None
    filters: CallFilters = CallFilters()
    max_rejects: int = 0
    choices: ColumnChoices = KEEP_ALL
    agent_prompts: bool = False


def slices_of(interval: Interval, total: int, pages: int) -> list[Interval]:
    """Cut the interval of a long list into slices of equal length, so that each walk is short.

    A slice has about half the pages that a walk may have. So the slice of a busy time still fits
    into one walk. Each slice costs about half a page more.

    :param interval: the interval.
    :param total: how many calls it has.
    :param pages: the most pages of one walk.
    :return: the slices, oldest first; the interval alone if its list is short, or if the interval
        is too short to cut.
    """
    length = interval.end - interval.start
    count = min(math.ceil(2 * total / PAGE_LIMIT / pages), length // SHORTEST)
    if total <= pages * PAGE_LIMIT or count < 2:
        return [interval]
    seconds = length // timedelta(seconds=1)
    cuts = [
        interval.start + timedelta(seconds=seconds * number // count) for number in range(count)
    ]
    return [Interval(start, end) for start, end in pairwise([*cuts, interval.end])]


class Walker:
    """Walks agents, stages their rows, and saves a checkpoint with each part.

    :param work: what is staged.
    :param options: what to extract.
    """

    def __init__(self, work: StagedWork[ListManifest], options: ExtractOptions) -> None:
        self._work, self._manifest, self._options = work, work.manifest, options
        self._pages_read = self._walks_finished = 0  # by this try

    def walk_agents(self, agents: Sequence[str]) -> None:
        """Walk the agents that are left; first the one whose walk was interrupted.

        Whatever error ends the work, finished walks are staged before the error leaves.
        """
        manifest, not_found = self._manifest, 0
        done = {walked.agent_id for walked in manifest.agents if walked.until is None}
        left = [agent_id for agent_id in agents if agent_id not in done]
        if half_walked := manifest.half_walked:
            left.sort(key=lambda agent_id: agent_id != half_walked.agent_id)
        log.info(
            "Walking the %s of %d agent(s) in %s%s.",
            WHAT[manifest.kind],
            len(left),
            self._options.interval,
            f"; {len(done)} done before" if done else "",
        )
        try:
            for agent_id in left:
                try:
                    self._walk_agent(agent_id)
                except NotFoundError as error:
                    not_found += 1
                    # If the first two are not found, the API has no such records.
                    others = manifest.agents or (not_found == 1 and len(agents) > 1)
                    if manifest.kind == "calls" or manifest.half_walked or not others:
                        raise
                    # The agent was deleted after its calls were walked.
                    log.warning("An agent's performance records are left out: %s", error)
        except QuotaExhaustedError:
            if self._pages_read and not self._walks_finished:
                # A walk of this length would never end if others leave us few requests an hour.
                pages = manifest.walk_pages
                manifest.walk_pages = min(pages, max(FEWEST_PAGES, pages // 2))
            # Even without a finished walk: the checkpoint shows that a task still works on this.
            self._save()
            raise
        except BaseException:
            if self._walks_finished:
                self._save()
            raise
        self._save()

    def _walk_agent(self, agent_id: str) -> None:
        """Walk an agent's interval, or what is left of it; a long list in slices."""
        manifest, end = self._manifest, self._options.interval.end
        before = manifest.half_walked
        left = [Interval(before.until, end) if before and before.until else self._options.interval]
        while left:
            interval = left.pop(0)
            walked = self._walk_until_whole(agent_id, interval)
            if isinstance(walked, list):
                left[:0] = walked
                continue
            if manifest.half_walked:
                walked = manifest.agents.pop().joined(walked)
            walked.until = interval.end if left else None
            manifest.agents.append(walked)
            self._walks_finished += 1
            is_late = time.monotonic() - self._work.flushed_at >= PART_SECONDS
            if is_late or self._work.rows.bytes >= PART_BYTES:
                self._save()

    def _walk_until_whole(self, agent_id: str, interval: Interval) -> WalkedAgent | list[Interval]:
        """Walk an interval of one agent until a walk is whole; drop the rows of the others.

        :return: the walk; or, if the list is long, the slices of the interval.
        """
        quota = self._work.client.quota
        walked: WalkedAgent | list[Interval] = []
        max_wait = quota.max_wait
        for attempt in tenacity.Retrying(**WALK_AGAIN, before_sleep=_log_moved):
            with attempt, self._work.rows.all_or_nothing(), self._work.rejects.all_or_nothing():
                try:
                    number = attempt.retry_state.attempt_number
                    walked = self._walk_once(agent_id, interval, number)
                finally:
                    quota.max_wait = max_wait
        return walked

    def _walk_once(
        self, agent_id: str, interval: Interval, attempt: int
    ) -> WalkedAgent | list[Interval]:
        """Walk once and write the rows; if the list is long, return its slices instead."""
        manifest, choices = self._manifest, self._options.choices
        began_at = datetime.now(UTC)
        walked = WalkedAgent(
            agent_id=agent_id, calls=0, walks=attempt, began_at=began_at, ended_at=began_at
        )
        # Copies, which count only once the walk is known to be whole.
        days, drift = deepcopy(manifest.days), Counter(manifest.drift)
        reason = manifest.reject_reason
        for number, page in enumerate(self._pages_of(agent_id, interval)):
            self._pages_read += 1
            if number == 0 and page.total > manifest.walk_pages * PAGE_LIMIT:
                slices = slices_of(interval, page.total, manifest.walk_pages)
                if len(slices) > 1:
                    rows = f"{page.total:,}"
                    log.info("%s row(s) of an agent in %s: %d slices.", rows, interval, len(slices))
                    return slices
                # It waits for the quota in the worker. Deferred, it would begin anew, and would
                # never end if others leave us fewer requests an hour than it has pages.
                self._work.client.quota.max_wait = None
            now = datetime.now(UTC)
            for record in page.records:
                day = days.setdefault(record.created_at.date(), DayCount())
                day.calls += 1
                day.purged += isinstance(record, Call) and bool(record.is_purged)
                drift.update(record.drift.keys())
            walked.calls += len(page.records)
            walked.rejected += len(page.rejects)
            self._work.rows.write(
                choices.row(call_row(record, now))
                if isinstance(record, Call)
                else choices.performance_row(performance_row(record, now))
                for record in page.records
            )
            for reject in page.rejects:
                reason = reason or reject.reason
                self._work.rejects.write([choices.reject(agent_id, reject.reason, reject.record)])
        walked.ended_at = datetime.now(UTC)
        manifest.days, manifest.drift, manifest.reject_reason = days, dict(drift), reason
        return walked

    def _pages_of(self, agent_id: str, interval: Interval) -> Iterator[RecordPage[Any]]:
        if self._manifest.kind == "calls":
            return self._work.client.walk_calls(agent_id, interval, self._options.filters)
        return self._work.client.walk_performance(agent_id, interval)

    def _save(self) -> None:
        """Stage the rows of finished walks and save the checkpoint that names them."""
        self._work.flush()
        self._manifest.save_checkpoint(self._work.folder)
        if (walked := self._manifest.half_walked) and walked.until:
            calls, until = f"{walked.calls:,}", format_utc(walked.until)
            log.info("%s row(s) of an agent staged, up to %s.", calls, until)


def _log_moved(state: tenacity.RetryCallState) -> None:
    if state.outcome:
        log.info("%s Walking it again.", state.outcome.exception())
