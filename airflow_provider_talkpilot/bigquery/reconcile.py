"""Whether the target has what a walk gave, and which of its calls TalkPilot no longer has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from google.cloud.bigquery import ArrayQueryParameter

from airflow_provider_talkpilot.bigquery.errors import BigQueryLoadError
from airflow_provider_talkpilot.staging.manifest import Manifest

# Agents named in an error; the rest are counted.
_NAMED = 5


@dataclass(frozen=True)
class ErasureLimit:
    """How many calls of an interval one load may erase: a bad walk must never empty a table.

    :param share: of the interval's calls in the table, 0 to 1.
    :param rows: so many are erased in any case.
    :param confirmed: somebody has looked: there is no limit.
    """

    share: float = 0.05
    rows: int = 10
    confirmed: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 1 or self.rows < 0:
            raise BigQueryLoadError(
                f"The limit of erasures is {self.share} of the interval or {self.rows} call(s): "
                "give a share from 0 to 1, and 0 or more calls."
            )


@dataclass(frozen=True)
class Balance:
    """One agent's calls of an interval: the walk beside the target.

    :param staged: calls that the walk gave.
    :param live: those of them that live in the target.
    :param missing: those of them that the target lacks.
    :param gone: calls of the target that TalkPilot no longer has.
    :param others: calls that the target got from elsewhere since the walk began.
    """

    agent_id: str
    staged: int
    live: int
    missing: int
    gone: int
    others: int


def can_reconcile(manifest: Manifest) -> bool:
    """Whether a manifest tells all calls of its interval: a walk's, without filters."""
    return manifest.kind == "calls" and not manifest.selection


def walked_at(manifest: Manifest) -> datetime:
    """When the last of the manifest's walks ended."""
    return max((walk.walked_at for walk in manifest.agents), default=manifest.started_at)


def began_at(manifest: Manifest) -> datetime:
    """When the first of the manifest's walks began: what was read later proves nothing."""
    return min(
        (walk.began_at or manifest.started_at for walk in manifest.agents),
        default=manifest.started_at,
    )


def agents_of(manifest: Manifest) -> list[ArrayQueryParameter]:
    """Query parameters: the agents that were walked, and those whose every record was staged.

    A record that failed validation is a call that TalkPilot has, and the parts do not: where one
    was rejected, a call that the parts lack proves nothing.
    """
    walked = [walk.agent_id for walk in manifest.agents]
    whole = [walk.agent_id for walk in manifest.agents if not walk.rejected]
    return [
        ArrayQueryParameter("walked_agents", "STRING", walked),
        ArrayQueryParameter("whole_agents", "STRING", whole),
    ]


def require_few_gone(
    balances: Sequence[Balance], manifest: Manifest, target: object, limit: ErasureLimit
) -> None:
    """Stop before an erasure that looks like a bad walk.

    :param balances: from before the MERGE.
    :param manifest: the walk.
    :param target: the table, for the message.
    :param limit: how many calls may be gone.
    :raises BigQueryLoadError: when there are more, and nobody has confirmed it.
    """
    gone = sum(balance.gone for balance in balances)
    there = gone + sum(balance.live + balance.others for balance in balances)
    if limit.confirmed or gone <= limit.rows or gone <= limit.share * there:
        return
    raise BigQueryLoadError(
        f"{gone:,} of the {there:,} call(s) that {target} has of {manifest.interval} are gone from "
        f"TalkPilot, more than {limit.share:.0%} of them ({_named(balances, 'gone')}). Nothing was "
        "changed. Look in TalkPilot's dashboard whether they were erased. If so, run the "
        "interval again and confirm it: the DAG's param confirm_erasure, or confirm_erasure=True "
        "on the load task. If not, check the API key's agents."
    )


def require_equal(balances: Sequence[Balance], manifest: Manifest, target: object) -> None:
    """Insist that the target has what the walk gave, and nothing that is gone.

    :param balances: from after the MERGE.
    :raises BigQueryLoadError: when it has not; a load may be repeated.
    """
    missing = sum(balance.missing for balance in balances)
    gone = sum(balance.gone for balance in balances)
    staged = sum(balance.staged for balance in balances)
    if missing or gone or staged != manifest.rows:
        raise BigQueryLoadError(
            f"{target} is not equal to the walk of {manifest.interval}: {manifest.rows:,} call(s) "
            f"in TalkPilot, {staged:,} staged, {missing:,} missing in the table "
            f"({_named(balances, 'missing')}), {gone:,} too many ({_named(balances, 'gone')}). "
            "Another program may write to the table; the next try merges again.",
            retryable=True,
        )


def _named(balances: Sequence[Balance], count: str) -> str:
    """The agents with the largest counts."""
    counts = sorted(((getattr(b, count), b.agent_id) for b in balances), reverse=True)
    counts = [(number, agent_id) for number, agent_id in counts if number]
    named = [f"agent {agent_id}: {number:,}" for number, agent_id in counts[:_NAMED]]
    if more := len(counts) - len(named):
        named.append(f"{more} more agent(s)")
    return ", ".join(named) or "no agent"
