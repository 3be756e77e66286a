"""The errors of the TalkPilot API. Each message is one line that names the cure.

Messages never contain an API key, a query string or the content of a call.
Source of codes and envelope: docs.talkpilot.io, page guides/error-handling.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any


class TalkPilotError(Exception):
    """Base of all errors about the TalkPilot API.

    :cvar retryable: whether the same request can succeed later without any change.
    """

    retryable = False


class ConfigurationError(TalkPilotError):
    """A base URL, a key, an id or an option cannot work.

    :param retryable: whether it may work soon without any change.
    """

    def __init__(self, message: str, *, retryable: bool = False) -> None:
        super().__init__(message)
        self.retryable = retryable


class IntervalError(ConfigurationError):
    """The interval is missing, reversed, of zero length, or not over yet."""


class ApiError(TalkPilotError):
    """The response is an error, from TalkPilot or from something in front of it.

    :param message: what happened and what to do.
    :param status: HTTP status.
    :param code: TalkPilot's code, such as ``NOT_FOUND``; empty if the response has none.
    :param request_id: the id that TalkPilot's support can look up.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int,
        code: str = "",
        request_id: str | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.request_id = request_id


class BadRequestError(ApiError):
    """400: the API refused a parameter, which the message names."""


class AuthenticationError(ApiError):
    """401: the key is missing, unknown, inactive or expired."""


class PermissionDeniedError(ApiError):
    """403 ``FORBIDDEN``: the key lacks a permission, which the message names."""


class AgentNotAccessibleError(ApiError):
    """403 ``AGENT_NOT_ACCESSIBLE``: the key's list of agents does not include this agent."""


class NotFoundError(ApiError):
    """404 of TalkPilot: the agent or call does not exist, or the key may not see it."""


class RateLimitedError(ApiError):
    """429 again and again, though the client waited as TalkPilot said."""

    retryable = True


class ServerError(ApiError):
    """TalkPilot or the edge in front of it has trouble that may pass in seconds: mostly 5xx."""

    retryable = True


class GatewayError(ApiError):
    """TalkPilot's hosting, a proxy, a firewall or a login page refused; a later try may work."""

    retryable = True


class GatewayBlockedError(GatewayError):
    """As :class:`GatewayError`, but a person must change something before a retry helps."""

    retryable = False


class UnexpectedResponseError(ApiError):
    """A response that TalkPilot never sends: a redirect, a page without ``pagination``."""


class InvalidRecordError(UnexpectedResponseError):
    """A record that does not fit its model.

    :param record: the record as the API sent it; personal data, to be kept aside only.
    :param reason: which fields are wrong and how, without their values.
    """

    def __init__(self, message: str, *, record: dict[str, Any], reason: str) -> None:
        super().__init__(message, status=200)
        self.record = record
        self.reason = reason


class UnreadableResponseError(UnexpectedResponseError):
    """The body of a 2xx response is not TalkPilot's: cut, empty, HTML, or a proxy's error."""

    retryable = True


class ConnectionFailedError(TalkPilotError):
    """No whole response came: name not resolved, connection refused or cut, time-out."""

    retryable = True


class WalkMovedError(TalkPilotError):
    """The list changed while its pages were read, so some rows may be missing."""

    retryable = True


class QuotaExhaustedError(TalkPilotError):
    """The key's quota is used up for longer than the caller is willing to wait.

    :param resume_at: aware UTC time at which requests are allowed again.
    """

    retryable = True

    def __init__(self, message: str, *, resume_at: datetime) -> None:
        super().__init__(message)
        self.resume_at = resume_at


class ClosedError(TalkPilotError):
    """``Quota.close()`` stopped all requests of this process."""

    retryable = True
