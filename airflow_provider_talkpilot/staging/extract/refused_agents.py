"""Agents that a run names and that its key cannot read: one error for all of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from airflow_provider_talkpilot.api import TalkPilotClient
from airflow_provider_talkpilot.api.errors import (
    AgentNotAccessibleError,
    NotFoundError,
    TalkPilotError,
)

# An error is a line, not a list.
MOST_NAMED = 20


@contextmanager
def refused_agents_named(
    client: TalkPilotClient, agent_ids: Sequence[str] | None
) -> Iterator[None]:
    """Name all agents that the key cannot read in the error about the first of them.

    Costs a request per 100 agents of the key, and only then.

    :param client: the API.
    :param agent_ids: the agents that the run names; None for all that the key can see.
    :raises AgentNotAccessibleError: or NotFoundError, as the block did.
    """
    try:
        yield
    except (AgentNotAccessibleError, NotFoundError) as error:
        refused = _not_listed(client, agent_ids or ())
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


def _not_listed(client: TalkPilotClient, agent_ids: Sequence[str]) -> list[str]:
    """The agents that the key's list lacks; none where the key may not read it."""
    try:
        seen = {agent.id.lower() for agent in client.agents()} if agent_ids else set()
    except TalkPilotError:
        return []
    return [agent_id for agent_id in agent_ids if agent_id.lower() not in seen]
