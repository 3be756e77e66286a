"""Extraction: walk an interval of every agent, and stage the rows as parts and a manifest."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from airflow_provider_talkpilot.api import TalkPilotClient
from airflow_provider_talkpilot.api.errors import (
    AgentNotAccessibleError,
    NotFoundError,
    PermissionDeniedError,
    TalkPilotError,
    WalkMovedError,
)
from airflow_provider_talkpilot.compat import ObjectStoragePath
from airflow_provider_talkpilot.staging.errors import TooManyRejectsError
from airflow_provider_talkpilot.staging.extract.walker import ExtractOptions, Walker
from airflow_provider_talkpilot.staging.manifests import (
    ListManifest,
    delete_checkpoint,
    load_checkpoint,
)
from airflow_provider_talkpilot.staging.progress import log_group
from airflow_provider_talkpilot.staging.rows.agents import agent_row
from airflow_provider_talkpilot.staging.rows.choices import warn_of_drift
from airflow_provider_talkpilot.staging.work import StagedWork

log = logging.getLogger(__name__)

# An older checkpoint shows too little of the interval as it is now.
CHECKPOINT_AGE = timedelta(hours=6)
# A list of more pages is walked in slices.
LONG_PAGES = 100
# The most agents that an error names, so that it stays one readable line.
MOST_NAMED = 20


def extract_calls(
    client: TalkPilotClient, folder: ObjectStoragePath, options: ExtractOptions
) -> tuple[ListManifest, ObjectStoragePath]:
    """Walk every agent and stage the list rows.

    Goes on from the checkpoint that an interrupted try left in the folder. Walks a long list in
    slices of the interval, one after the other. Stages finished walks before any error leaves.

    :param client: the API.
    :param folder: the interval's folder.
    :param options: what to extract.
    :return: the manifest and its path.
    :raises IntervalError: when the interval is not over.
    :raises AgentNotAccessibleError: when an agent is not in the key's list of agents.
    :raises NotFoundError: when an agent does not exist for the key's user.
    :raises WalkMovedError: when an agent's list kept changing.
    :raises TooManyRejectsError: when more records than allowed failed validation.
    """
    options.interval.require_over()
    agents, listed = options.agent_ids, list[dict[str, Any]]()
    with _refused_agents_named(client, agents):
        if agents is None:
            visible, now = client.agents(), datetime.now(UTC)
            if not visible:
                log.warning(
                    "The key can see no agent, so there are no calls. If that is not what you "
                    "expect, look at the key's agents in TalkPilot's dashboard (Settings, API)."
                )
            agents = [agent.id for agent in visible]
            listed = [agent_row(agent, now, prompts=options.agent_prompts) for agent in visible]
        return _extract(client, folder, options, "calls", agents, listed)


def extract_performance(
    client: TalkPilotClient, folder: ObjectStoragePath, options: ExtractOptions, required: bool
) -> tuple[ListManifest, ObjectStoragePath]:
    """Walk every agent and stage the performance records, as :func:`extract_calls` does.

    If the key lacks the permission ``performance:read``, or the API has no such records, the first
    request or two show it. Then this logs a warning, and the manifest names no agent.

    :param options: with ``agent_ids``, and without filters, which performance records do not have.
    :param required: raise the error instead of the warning.
    """
    try:
        return _extract(client, folder, options, "performance", options.agent_ids or ())
    except (PermissionDeniedError, NotFoundError) as error:
        checkpoint = load_checkpoint(folder, "performance")
        if required or (isinstance(checkpoint, ListManifest) and checkpoint.agents):
            raise
        log.warning(
            "No performance records are read, and scores come from details alone: %s To send no "
            "such request, set performance (for the shipped DAGs the Variable "
            "talkpilot_performance) to off.",
            error,
        )
    manifest = _start(options, "performance")
    manifest.requests = dict(client.requests)
    return manifest, manifest.save(folder)


def _extract(
    client: TalkPilotClient,
    folder: ObjectStoragePath,
    options: ExtractOptions,
    kind: Literal["calls", "performance"],
    agents: Sequence[str],
    listed: Sequence[dict[str, Any]] = (),
) -> tuple[ListManifest, ObjectStoragePath]:
    agents = list(dict.fromkeys(agents))
    manifest = _resume(folder, kind, agents) or _start(options, kind)
    manifest.listed = list(listed)
    with (
        StagedWork(client, folder, manifest, first=len(manifest.parts)) as work,
        log_group("Lists, agent by agent"),
    ):
        Walker(work, options).walk_agents(agents)
    try:
        manifest.require_rejects_within(options.max_rejects, folder)
    except TooManyRejectsError:
        # Only a new walk of everything can bring these records right.
        delete_checkpoint(folder, kind)
        raise
    warn_of_drift(manifest.drift, options.choices)
    return manifest, manifest.save(folder)


def _resume(
    folder: ObjectStoragePath, kind: Literal["calls", "performance"], agents: Sequence[str]
) -> ListManifest | None:
    """Read the unfinished work of an earlier try, if it is recent and its parts are stored."""
    checkpoint = load_checkpoint(folder, kind)
    if not isinstance(checkpoint, ListManifest) or checkpoint.worked_at is None:
        return None
    is_recent = datetime.now(UTC) - checkpoint.worked_at < CHECKPOINT_AGE
    # The rows of a half-walked agent can only be used if the run still walks that agent.
    half_walked = checkpoint.half_walked
    is_possible = half_walked is None or half_walked.agent_id in agents
    return checkpoint if is_recent and is_possible and checkpoint.has_all_files(folder) else None


def _start(options: ExtractOptions, kind: Literal["calls", "performance"]) -> ListManifest:
    return ListManifest(
        kind=kind,
        start=options.interval.start,
        end=options.interval.end,
        selection=sorted(options.filters.active()),
        columns=options.choices.recorded,
        started_at=datetime.now(UTC),
        walk_pages=LONG_PAGES,
    )


@contextmanager
def _refused_agents_named(client: TalkPilotClient, agents: Sequence[str] | None) -> Iterator[None]:
    """Turn the error about the first agent that the key cannot read into one that names them all.

    Only after such an error, this costs a request per 100 agents of the key.

    :param agents: the agents that the run names; None for those of the key's list. Of these, one
        may have been deleted since the list was read, so the next try can succeed.
    """
    try:
        yield
    except (AgentNotAccessibleError, NotFoundError) as error:
        if agents is None:
            sent = str(error).partition(" responded ")[0]
            raise WalkMovedError(
                f"TalkPilot listed an agent, and then refused its calls ({sent} responded "
                f"{error.status} {error.code}). It was probably deleted since: the next try reads "
                "the list again. If the agent is still there, tell TalkPilot's support, or name "
                "the agents to read in agent_ids (for the shipped DAGs the Variable "
                "talkpilot_agent_ids)."
            ) from None
        try:
            visible = {agent.id.lower() for agent in client.agents()}
        except TalkPilotError:  # the key may not list agents
            raise error from None
        refused = [agent_id for agent_id in agents if agent_id.lower() not in visible]
        if len(refused) < 2:
            raise
        named = ", ".join(refused[:MOST_NAMED])
        if len(refused) > MOST_NAMED:
            named += f" and {len(refused) - MOST_NAMED} more"
        raise type(error)(
            f"{error} The key can see none of these agents, which the run names: {named}.",
            status=error.status,
            code=error.code,
            request_id=error.request_id,
        ) from None
