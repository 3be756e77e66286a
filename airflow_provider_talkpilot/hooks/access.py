"""What the test button of a connection finds out."""

from __future__ import annotations

from airflow_provider_talkpilot.api import TalkPilotClient
from airflow_provider_talkpilot.api.errors import (
    AgentNotAccessibleError,
    AuthenticationError,
    InvalidRecordError,
    NotFoundError,
    PermissionDeniedError,
)
from airflow_provider_talkpilot.api.walk import Request

_ONE = {"page": "1", "limit": "1"}


def describe_access(client: TalkPilotClient) -> tuple[bool, str]:
    """Say whether a client's host and key allow what the DAGs need; costs three requests.

    :return: whether they do; and what was found, or what to do.
    :raises TalkPilotError: for what says nothing about host and key, such as a failing network.
    """
    try:
        version = client.health().version or "unknown"
    except (InvalidRecordError, NotFoundError) as error:
        return False, f"There is no TalkPilot API at this base URL: mend the host. {error}"
    try:
        first = client.fetch(Request("agents", "agents", _ONE))
    except AuthenticationError as error:
        return False, f"The host is right, but the key is not accepted. {error}"
    except PermissionDeniedError as error:
        return False, (
            f"The host and the key are right, but the key may not list agents. {error} Without "
            "it, name the agents (for the shipped DAGs in the Variable talkpilot_agent_ids)."
        )
    agents = first.get("data") or []
    total = (first.get("pagination") or {}).get("total", len(agents))
    found = f"TalkPilot responds at {client.base_url} (version {version})."
    if not agents:
        return True, (
            f"{found} The key can see no agent, so there will be no calls: if that is not "
            "what you expect, look at the key's agents in TalkPilot's dashboard."
        )
    try:
        path = f"agents/{agents[0]['id']}/calls"
        client.fetch(Request("calls", path, _ONE))
    except (AgentNotAccessibleError, PermissionDeniedError) as error:
        return False, f"The host and the key are right, but may not read calls. {error}"
    found += f" The key can see {total} agent(s) and read their calls."
    if client.quota.per_minute:
        found += f" Up to {client.quota.per_minute:,} request(s) a minute can be sent."
    return True, found
