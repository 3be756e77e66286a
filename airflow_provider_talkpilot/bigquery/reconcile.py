"""Whether the target has what a walk gave, and which of its calls TalkPilot no longer has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from google.cloud.bigquery import ArrayQueryParameter

from airflow_provider_talkpilot.bigquery.errors import BigQueryLoadError
from airflow_provider_talkpilot.staging.manifests import WalksManifest

# Agents named in an error; the rest are counted.
_NAMED = 5

# What differs though loads are transactions, one after the other: counts of a balance, and why.
_DIFFERENCES = (
    (("missing",), "are missing", "deleted since, by other software or because partitions expire"),
    (
        ("gone", "gone_from_trash"),
        "are too many",
        "written since, by the load of an older walk or by other software",
    ),
    (("doubles",), "are there twice", "inserted since, by other software"),
)


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
class Balance:
    """One agent's calls of an interval: the walk beside the target.

    :param staged: calls that the walk gave.
    :param live: those of them that live in the target.
    :param missing: those of them that the target lacks.
    :param changed: rows of the target that differ from what is staged and newer.
    :param doubles: rows of the target beside the newest one of their call.
    :param gone: live calls of the target that TalkPilot no longer has.
    :param gone_from_trash: likewise, those that the target last saw soft-deleted.
    :param others: calls that the target got from elsewhere since the walk began.
    :param purged: calls of the walk that are purged, where the target does not know it yet.
    :param recorded: calls that are purged or gone, and have a recording in the target.
    :param forgotten: calls that are purged or erased in the target already.
    :param returned: calls of the walk that are erased in the target, and come back.
    """

    agent_id: str
    staged: int
    live: int
    missing: int
    changed: int
    doubles: int
    gone: int
    gone_from_trash: int
    others: int
    purged: int
    recorded: int
    forgotten: int
    returned: int

    def merged(self) -> Balance:
        """What a merge makes of it, where nothing else changes the target."""
        live = self.live + self.missing + self.returned
        return replace(
            self, live=live, missing=0, changed=0, doubles=0, gone=0, gone_from_trash=0,
            purged=0, recorded=0, returned=0,
        )  # fmt: skip


def total(balances: Sequence[Balance], *counts: str) -> int:
    """Sum counts over all agents."""
    return sum(getattr(balance, count) for balance in balances for count in counts)


def agent_parameters(manifest: WalksManifest | None) -> list[ArrayQueryParameter]:
    """Give query parameters: the agents that were walked, and those with no rejected record.

    A record that failed validation is a call that TalkPilot has, and the parts do not: where one
    was rejected, a call that the parts lack proves nothing.

    :param manifest: of a walk; without one there is no such agent.
    """
    agents = manifest.agents if manifest else []
    walked = [walk.agent_id for walk in agents]
    whole = [walk.agent_id for walk in agents if not walk.rejected]
    return [
        ArrayQueryParameter("walked_agents", "STRING", walked),
        ArrayQueryParameter("whole_agents", "STRING", whole),
    ]


def require_few_gone(
    balances: Sequence[Balance], manifest: WalksManifest, target: object, limit: ErasureLimit
) -> None:
    """Stop before an erasure of live calls that looks like a bad walk.

    A call that was moved to the trash and emptied out of it between two walks counts as live: the
    table never saw it in the trash.

    :param balances: from before the merge.
    :param manifest: the walk.
    :param target: the table, for the message.
    :param limit: how many calls may be gone.
    :raises BigQueryLoadError: when more are gone, and no person has confirmed it.
    """
    gone, trash = total(balances, "gone"), total(balances, "gone_from_trash")
    there = total(balances, "gone", "live", "others")
    if limit.confirmed or gone <= limit.rows or gone <= limit.share * there:
        return
    raise BigQueryLoadError(
        f"{gone:,} of the {there:,} call(s) that {target} has of {manifest.interval} are gone from "
        f"TalkPilot and were not in its trash before, more than {limit.share:.0%} of them "
        f"({_named(balances, 'gone')}); {trash:,} more are gone from the trash, which may be. "
        "Nothing was changed. Look in TalkPilot's dashboard whether they were erased, or moved to "
        "the trash and emptied. If so, run the interval again and confirm it: the DAG's param "
        "confirm_erasure, or confirm_erasure=True on the load task. If not, check the API key's "
        "agents."
    )


def require_equal(balances: Sequence[Balance], manifest: WalksManifest, target: object) -> None:
    """Check that the target has what the walk gave, once each, and nothing that is gone.

    :param balances: from after the merge.
    :raises BigQueryLoadError: when it has not; a load may be repeated.
    """
    problems = [
        f"{number:,} {what} ({_named(balances, *counts)}), {why}"
        for counts, what, why in _DIFFERENCES
        if (number := total(balances, *counts))
    ]
    # A call that moved from one agent to another while they were walked is staged twice.
    if manifest.rows and not total(balances, "staged"):
        problems.append(
            "none is in the staging table, emptied by another load of the same walk since"
        )
    if problems:
        raise BigQueryLoadError(
            f"{target} was made equal to the walk of {manifest.interval}, and no longer is. "
            f"Of {manifest.rows:,} call(s) {'; '.join(problems)}. The next try merges again.",
            retryable=True,
        )


def _named(balances: Sequence[Balance], *counts_of: str) -> str:
    """Name the agents with the largest counts."""
    counts = [(total([each], *counts_of), each.agent_id) for each in balances]
    counts = sorted((each for each in counts if each[0]), reverse=True)
    named = [f"agent {agent_id}: {number:,}" for number, agent_id in counts[:_NAMED]]
    if more := len(counts) - len(named):
        named.append(f"{more} more agent(s)")
    return ", ".join(named) or "no agent"
