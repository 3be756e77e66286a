"""What an error response means: its sender and its status decide type, retry and cure.

Only TalkPilot's own envelope is a verdict on the key, an agent or a call. Everything else comes
from something in front of TalkPilot. The client sends a request again at once for ``ServerError``;
for another type with ``retryable`` the task's next try may get through.

Sources: docs.talkpilot.io (authentication, guides/error-handling), supabase.com/docs
(guides/platform/http-status-codes, guides/functions/status-codes), developers.cloudflare.com
(support/troubleshooting/http-status-codes).
"""

from __future__ import annotations

from typing import NamedTuple

from airflow_provider_talkpilot.api import errors
from airflow_provider_talkpilot.api.http.address import BASE_URL_SHAPE

CHECK_HOST = f"Check the base URL (the connection's host): its shape is {BASE_URL_SHAPE}."
NO_API_HERE = f"There is no TalkPilot API at this address. {CHECK_HOST}"


class Verdict(NamedTuple):
    """What an error is: its type, and what to do in one or two sentences."""

    error: type[errors.ApiError]
    cure: str


_TROUBLE = Verdict(errors.ServerError, "TalkPilot has a problem; the same request may work later.")

_AGENT_NOT_ACCESSIBLE = Verdict(
    errors.AgentNotAccessibleError,
    "The key's list of agents does not include this agent: add it to the key in TalkPilot's "
    "dashboard (Settings, API), or take it out of agent_ids (for the shipped DAGs the Variable "
    "talkpilot_agent_ids).",
)

# Responses with TalkPilot's envelope, by status. Of the rest, 5xx is trouble that may pass.
_TALKPILOTS = {
    400: Verdict(errors.BadRequestError, "Correct the named parameter."),
    401: Verdict(
        errors.AuthenticationError,
        "The API key is unknown, inactive or expired: renew it, and set the connection's password.",
    ),
    403: Verdict(
        errors.PermissionDeniedError,
        "Grant the key the permission named, in TalkPilot's dashboard (Settings, API).",
    ),
    404: Verdict(
        errors.NotFoundError,
        "It does not exist, was erased, belongs to another organization, or the key is not allowed "
        "to see this agent: check the agent ids.",
    ),
    408: _TROUBLE,
    409: Verdict(errors.ConflictError, "Try again later."),
    425: _TROUBLE,
    429: Verdict(
        errors.RateLimitedError,
        "It refused again and again, though the client waited as told. Leave this connection a "
        "larger part of the quota, or raise the key's limit.",
    ),
}
_TALKPILOTS_OTHERS = Verdict(errors.ApiError, "See TalkPilot's documentation.")

_NO_VERDICT_ON_THE_KEY = Verdict(
    errors.GatewayError,
    "This is no verdict on the API key: something in front of TalkPilot refused, such as its "
    "hosting, or a firewall, proxy or login page of yours. Check the way out to the base URL (the "
    "connection's host), and tell TalkPilot's support.",
)
_STOPPED = Verdict(
    errors.GatewayBlockedError,
    "TalkPilot's hosting has stopped it, and no retry helps before it runs again: tell TalkPilot's "
    "support, and clear this task afterwards.",
)
_PROXY_LOGIN = Verdict(
    errors.GatewayBlockedError,
    "The network or proxy between here and TalkPilot wants a login: give the proxy's user and "
    "password in HTTPS_PROXY, or let this machine through.",
)
_UNKNOWN_REFUSAL = Verdict(
    errors.GatewayBlockedError,
    "It was not TalkPilot that refused, but something in front of it, such as a proxy or another "
    f"server. {CHECK_HOST}",
)
_NO_API = Verdict(errors.GatewayBlockedError, NO_API_HERE)
_EDGE_CANNOT_REACH = Verdict(
    errors.GatewayError,
    "The edge in front of TalkPilot cannot reach it (a wrong certificate or name): TalkPilot must "
    "mend that. Tell their support if it stays.",
)

# Responses without TalkPilot's envelope, by status. Of the rest, 5xx is trouble that may pass, and
# 4xx a refusal that stays.
ELSEWHERE: dict[int, Verdict] = {
    401: _NO_VERDICT_ON_THE_KEY,
    402: _STOPPED,
    403: _NO_VERDICT_ON_THE_KEY,
    404: _NO_API,
    407: _PROXY_LOGIN,
    408: _TROUBLE,
    410: _NO_API,
    425: _TROUBLE,
    429: Verdict(
        errors.RateLimitedError,
        "Something in front of TalkPilot limits requests, whatever the key's quota is: set the "
        "connection's requests_per_minute lower.",
    ),
    501: _UNKNOWN_REFUSAL,
    505: _UNKNOWN_REFUSAL,
    511: _PROXY_LOGIN,
    525: _EDGE_CANNOT_REACH,
    526: _EDGE_CANNOT_REACH,
    530: _EDGE_CANNOT_REACH,
    540: _STOPPED,
    546: Verdict(
        errors.ServerError,
        "TalkPilot's server ran out of processor time or memory; the same request may work later. "
        "Tell TalkPilot's support if it stays.",
    ),
}


def verdict_on(status: int, code: str, *, is_talkpilots: bool) -> Verdict:
    """Give what an error response means.

    :param is_talkpilots: whether the body has TalkPilot's envelope.
    """
    if not is_talkpilots:
        return ELSEWHERE.get(status, _TROUBLE if status >= 500 else _UNKNOWN_REFUSAL)
    if code == "AGENT_NOT_ACCESSIBLE":
        return _AGENT_NOT_ACCESSIBLE
    return _TALKPILOTS.get(status, _TROUBLE if status >= 500 else _TALKPILOTS_OTHERS)
