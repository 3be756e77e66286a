"""What can go wrong with the TalkPilot API, as types, each message naming its cure.

Messages never contain an API key, a query string or the content of a call.
Source of codes and envelope: docs.talkpilot.io, page guides/error-handling.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any


class TalkPilotError(Exception):
    """Base of all errors about the TalkPilot API.

    :cvar retryable: whether the same request can succeed later though nothing is changed.
    """

    retryable = False


class ConfigurationError(TalkPilotError):
    """The client was given something that can never work: a base URL, a key, an agent id."""


class IntervalError(ConfigurationError):
    """The interval is missing, reversed, of zero length, or not over yet.

    :param retryable: whether it is only not over yet, and will be soon.
    """

    def __init__(self, message: str, *, retryable: bool = False) -> None:
        super().__init__(message)
        self.retryable = retryable


class ApiError(TalkPilotError):
    """A request got an error as its response, from TalkPilot or from something in front of it.

    :param message: what happened and what to do.
    :param status: HTTP status.
    :param code: such as ``NOT_FOUND``; empty where there was none.
    :param request_id: for TalkPilot's support.
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
    """404 of TalkPilot: no such agent or call, or one that the key may not see."""


class RateLimitedError(ApiError):
    """429 that stayed after waiting as told, several times over."""

    retryable = True


class ServerError(ApiError):
    """Trouble that may pass in seconds, of TalkPilot or of the edge in front of it: mostly 5xx."""

    retryable = True


class GatewayError(ApiError):
    """TalkPilot's hosting, a proxy, a firewall or a login page refused; later it may not."""

    retryable = True


class GatewayBlockedError(GatewayError):
    """As :class:`GatewayError`, but no retry helps before a person changes something."""

    retryable = False


class UnexpectedResponseError(ApiError):
    """A response that TalkPilot does not give: a redirect, a page without ``pagination``."""


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
    """A body of success that is not TalkPilot's: cut, empty, HTML, or the error of a proxy."""

    retryable = True


class ConnectionFailedError(TalkPilotError):
    """No whole response: name not resolved, connection refused or cut, time-out."""

    retryable = True


class WalkMovedError(TalkPilotError):
    """The list changed while its pages were read: what was read is not the whole interval."""

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
    """Requests were stopped in this process, with ``Quota.close()``."""

    retryable = True
