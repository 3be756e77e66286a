"""Compares a walk with the target: what is missing or changed, and which calls are gone."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass

from google.cloud.bigquery import ArrayQueryParameter

from airflow_provider_talkpilot.bigquery.errors import BigQueryError
from airflow_provider_talkpilot.bigquery.table_id import TableId
from airflow_provider_talkpilot.staging.manifests import ListManifest

log = logging.getLogger(__name__)

# An error names so many agents, and counts the others.
_NAMED = 5


@dataclass(frozen=True)
class ErasureLimit:
    """How many live calls of an interval may be gone at once: a bad walk must never empty a table.

    Calls that the table last saw in the trash do not count: TalkPilot empties it lawfully.

    :param share: of the interval's calls in the table, 0 to 1.
    :param rows: so many are erased in any case.
    :param confirmed: a person has looked, and there is no limit.
    """

    share: float = 0.05
    rows: int = 10
    confirmed: bool = False


@dataclass(frozen=True)
class Comparison:
    """One agent's calls of an interval, or all agents': the walk beside the target.

    :param agent_id: the agent; empty for all of them.
    :param staged: calls of the walk.
    :param live: calls of the walk that the target has and that are not erased there.
    :param missing: calls of the walk that the target lacks.
    :param differing: rows of the target that differ from a newer staged row.
    :param duplicates: rows of the target beside the newest row of their call.
    :param gone: live calls of the target that TalkPilot no longer has.
    :param gone_from_trash: likewise, calls that the target last saw soft-deleted.
    :param loaded_since: live calls of the target that the walk lacks, and that are not gone:
        another load brought them since the walk began, or their agent has a reject.
    :param purged: calls that are purged in the walk, and not yet in the target.
    :param recordings_to_delete: calls that are purged or gone, and have a recording in the target.
    :param emptied_before: calls that are purged or erased in the target already.
    :param reappeared: calls of the walk that are erased in the target, and come back.
    """

    agent_id: str = ""
    staged: int = 0
    live: int = 0
    missing: int = 0
    differing: int = 0
    duplicates: int = 0
    gone: int = 0
    gone_from_trash: int = 0
    loaded_since: int = 0
    purged: int = 0
    recordings_to_delete: int = 0
    emptied_before: int = 0
    reappeared: int = 0

    @property
    def to_erase(self) -> int:
        """Calls of the target that TalkPilot no longer has."""
        return self.gone + self.gone_from_trash

    def expected_after_merge(self) -> Comparison:
        """Return what the merge leaves: the target has every call of the walk."""
        live = self.live + self.missing + self.reappeared
        return Comparison(self.agent_id, self.staged, live, loaded_since=self.loaded_since)


_Count = Callable[[Comparison], int]

# Counts that must be 0 after a merge, and why they may not be, though loads never run at the same
# time.
_DIFFERENCES: list[tuple[_Count, str, str]] = [
    (
        lambda calls: calls.missing,
        "are missing",
        "deleted since, by other software or because partitions expire",
    ),
    (
        lambda calls: calls.to_erase,
        "are too many",
        "written since, by the load of an older walk or by other software",
    ),
    (lambda calls: calls.duplicates, "are there twice", "inserted since, by other software"),
]


def total(agents: Sequence[Comparison]) -> Comparison:
    """Sum the counts over all agents."""
    counts = [astuple(agent)[1:] for agent in agents]
    return Comparison("", *map(sum, zip(*counts, strict=True)))


def agent_parameters(manifest: ListManifest | None) -> list[ArrayQueryParameter]:
    """Return the query parameters ``walked_agents`` and ``whole_agents``.

    A record that failed validation is a call that TalkPilot has and the parts lack. So if an agent
    has a reject, its walk does not count as whole: no call that the parts lack counts as gone.

    :param manifest: of a walk; None for no agents.
    """
    agents = manifest.agents if manifest else []
    walked = [walk.agent_id for walk in agents]
    whole = [walk.agent_id for walk in agents if not walk.rejected]
    return [
        ArrayQueryParameter("walked_agents", "STRING", walked),
        ArrayQueryParameter("whole_agents", "STRING", whole),
    ]


def require_few_gone(
    agents: Sequence[Comparison], walk: ListManifest, target: TableId, limit: ErasureLimit
) -> None:
    """Stop before an erasure of live calls that looks like a bad walk.

    A call that was moved to the trash and emptied out of it between two walks counts as live,
    because the table never saw it in the trash.

    :param agents: each agent's comparison, from before the merge.
    :param walk: the manifest of the walk.
    :param target: the table, for the message.
    :param limit: how many calls may be gone.
    :raises BigQueryError: when more are gone, and no person has confirmed it.
    """
    all_agents = total(agents)
    gone, trash = all_agents.gone, all_agents.gone_from_trash
    calls = gone + all_agents.live + all_agents.loaded_since
    if limit.confirmed or gone <= limit.rows or gone <= limit.share * calls:
        return
    largest = _largest(agents, lambda calls: calls.gone)
    raise BigQueryError(
        f"{gone:,} of the {calls:,} call(s) that {target} has of {walk.interval} are gone from "
        f"TalkPilot and were not in its trash before, more than {limit.share:.0%} of them "
        f"({largest}); {trash:,} more are gone from the trash, which may be. "
        "Nothing was changed. Look in TalkPilot's dashboard whether they were erased, or moved to "
        "the trash and emptied. If so, run the interval again and confirm it: the DAG's param "
        "confirm_erasure, or confirm_erasure=True on the load task. If not, check the API key's "
        "agents."
    )


def reconcile(
    agents: Sequence[Comparison], walk: ListManifest, target: TableId, erased: int
) -> int:
    """Check that the target has each call of the walk once, and none that is gone; log the counts.

    :param agents: each agent's comparison, from after the merge.
    :param walk: the manifest of the walk.
    :param target: the table, for the messages.
    :param erased: how many rows the merge has emptied, for the log.
    :return: the interval's live calls in the target.
    :raises BigQueryError: when a call is missing, gone or there twice; a load may be repeated.
    """
    all_agents = total(agents)
    problems = [
        f"{number:,} {what} ({_largest(agents, count)}), {why}"
        for count, what, why in _DIFFERENCES
        if (number := count(all_agents))
    ]
    staged, live = all_agents.staged, all_agents.live + all_agents.loaded_since
    # It may be less than walk.rows: a call that moved from one agent to another is staged twice.
    if walk.rows and not staged:
        problems.append(
            "none is in the staging table, emptied by another load of the same walk since"
        )
    if problems:
        raise BigQueryError(
            f"{target} was made equal to the walk of {walk.interval}, and no longer is. "
            f"Of {walk.rows:,} call(s) {'; '.join(problems)}. The next try merges again.",
            retryable=True,
        )
    log.info(
        "Reconciled %s: %s call(s) in TalkPilot, %s staged, %s live in the table, %s erased, "
        "%d agent(s).",
        walk.interval,
        f"{walk.rows:,}",
        f"{staged:,}",
        f"{live:,}",
        f"{erased:,}",
        walk.agent_count,
    )
    return live


def _largest(agents: Sequence[Comparison], count: _Count) -> str:
    """Name the agents with the largest counts."""
    counts = ((count(agent), agent.agent_id) for agent in agents)
    by_agent = sorted((pair for pair in counts if pair[0]), reverse=True)
    named = [f"agent {agent_id}: {number:,}" for number, agent_id in by_agent[:_NAMED]]
    if more := len(by_agent) - len(named):
        named.append(f"{more} more agent(s)")
    return ", ".join(named) or "no agent"
