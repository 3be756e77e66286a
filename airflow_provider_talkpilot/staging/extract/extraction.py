"""Extraction: every agent's verified walk of an interval, staged as parts and a manifest."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from airflow_provider_talkpilot.api import TalkPilotClient
from airflow_provider_talkpilot.api.errors import NotFoundError, PermissionDeniedError
from airflow_provider_talkpilot.compat import ObjectStoragePath
from airflow_provider_talkpilot.staging import storage
from airflow_provider_talkpilot.staging.choices import warn_of_drift
from airflow_provider_talkpilot.staging.errors import StagingError, TooManyRejectsError
from airflow_provider_talkpilot.staging.extract.refused_agents import refused_agents_named
from airflow_provider_talkpilot.staging.extract.walker import ExtractPlan, Walker
from airflow_provider_talkpilot.staging.manifests import (
    CallsManifest,
    Checkpoint,
    PerformanceManifest,
)
from airflow_provider_talkpilot.staging.parts import PartWriter
from airflow_provider_talkpilot.staging.progress import log_group
from airflow_provider_talkpilot.staging.rows import agent_row

log = logging.getLogger(__name__)

# Work left alone for longer says too little about the interval as it is now.
CHECKPOINT_AGE = timedelta(hours=6)
# A list of more pages is walked in slices.
LONG_PAGES = 100


def extract_calls(
    client: TalkPilotClient, folder: ObjectStoragePath, plan: ExtractPlan
) -> tuple[CallsManifest, ObjectStoragePath]:
    """Walk every agent and stage the list rows.

    A long list is walked in slices of the interval, one after the other. Goes on from the
    checkpoint of an interrupted run of the same folder. Before any error leaves, finished walks are
    staged.

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
    agents, listed = plan.agent_ids, list[dict[str, Any]]()
    with refused_agents_named(client, plan.agent_ids):
        if agents is None:
            found, now = client.agents(), datetime.now(UTC)
            agents = [agent.id for agent in found]
            listed = [agent_row(agent, now, prompts=plan.agent_prompts) for agent in found]
        return _extract(client, folder, plan, agents, CallsManifest, listed)


def extract_performance(
    client: TalkPilotClient, folder: ObjectStoragePath, plan: ExtractPlan, *, required: bool = False
) -> tuple[PerformanceManifest, ObjectStoragePath]:
    """Walk every agent and stage the performance records, as :func:`extract_calls` does.

    Without the permission ``performance:read``, or where the API has no such records, one request
    finds that out: then a warning says it, and the manifest names no agent.

    :param plan: with ``agent_ids``, and without filters: records have none.
    :param required: raise the error instead.
    """
    try:
        return _extract(client, folder, plan, plan.agent_ids or (), PerformanceManifest)
    except (PermissionDeniedError, NotFoundError) as error:
        if required or Checkpoint.load(folder, "performance"):
            raise
        log.warning(
            "No performance records are read, and scores come from details alone. TalkPilot says: "
            "%s Give the API key the permission performance:read, or set performance (for the "
            "shipped DAGs the Variable talkpilot_performance) to off.",
            error,
        )
    manifest, _ = _start(plan, PerformanceManifest)
    manifest.requests = dict(client.requests)
    return manifest, manifest.save(folder)


Walks = TypeVar("Walks", CallsManifest, PerformanceManifest)


def _extract(
    client: TalkPilotClient,
    folder: ObjectStoragePath,
    plan: ExtractPlan,
    agents: Sequence[str],
    model: type[Walks],
    listed: Sequence[dict[str, Any]] = (),
) -> tuple[Walks, ObjectStoragePath]:
    agents = list(dict.fromkeys(agents))
    work: tuple[Walks, Checkpoint] = _resume(folder, agents, model) or _start(plan, model)
    manifest, checkpoint = work
    if isinstance(manifest, CallsManifest):
        manifest.listed = list(listed)
    kind = manifest.kind
    with (
        PartWriter(folder, kind, first=len(manifest.parts)) as parts,
        PartWriter(folder, "rejects", first=len(manifest.rejects)) as rejects,
        log_group("Lists, agent by agent"),
    ):
        Walker(client, folder, plan, manifest, checkpoint, parts, rejects).walk(agents)
    if not manifest.is_whole(folder):
        raise StagingError(
            f"Parts of {plan.interval} were deleted while the rest was walked: calls in them were "
            "purged. The next try walks again."
        )
    try:
        manifest.require_rejects_within(plan.max_rejects, folder)
    except TooManyRejectsError:
        # Only a new walk of everything can make them right.
        Checkpoint.delete(folder, kind)
        raise
    warn_of_drift(manifest.drift, plan.choices)
    path = manifest.save(folder)
    Checkpoint.delete(folder, kind)
    return manifest, path


def _resume(
    folder: ObjectStoragePath, agents: Sequence[str], model: type[Walks]
) -> tuple[Walks, Checkpoint] | None:
    """Read the unfinished work of an earlier try, if it is recent and its parts are stored."""
    found = Checkpoint.load(folder, model.model_fields["kind"].default)
    if found is None or type(found.manifest) is not model:
        return None
    manifest: Any = found.manifest
    staged = (*manifest.parts, *manifest.rejects)
    is_whole = all(storage.size(folder / part.name) == part.bytes for part in staged)
    is_recent = datetime.now(UTC) - found.worked_at < CHECKPOINT_AGE
    # Rows of an agent that cannot be walked to its end must not be among those of whole walks.
    is_possible = found.walk is None or found.walk.agent_id in agents
    return (manifest, found) if is_whole and is_recent and is_possible else None


def _start(plan: ExtractPlan, model: type[Walks]) -> tuple[Walks, Checkpoint]:
    now = datetime.now(UTC)
    manifest = model(
        start=plan.interval.start,
        end=plan.interval.end,
        selection=sorted(plan.filters.active()),
        columns=plan.choices.recorded,
        started_at=now,
    )
    return manifest, Checkpoint(manifest=manifest, worked_at=now, walk_pages=LONG_PAGES)
