"""What can go wrong with the TalkPilot API, as types, each message naming its cure.

Messages never contain an API key, a query string or the content of a call.
Source of codes and envelope: docs.talkpilot.io, page guides/error-handling.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any


class TalkPilotError(Exception):
    """Base of every error this package raises about the TalkPilot API.

    ``retryable`` says whether the same request can succeed later without anybody changing
    anything; schedulers should fail at once where it is false.
    """

    retryable = False


class ConfigurationError(TalkPilotError):
    """The client was given something that can never work: a base URL, a key, an agent id."""


class IntervalError(ConfigurationError):
    """The interval is missing, reversed, of zero length, or not over yet."""


@dataclass(frozen=True)
class FieldError:
    """One entry of ``details`` in the error envelope: the parameter and what is wrong with it."""

    field: str
    message: str


class ApiError(TalkPilotError):
    """The API answered a request with an error.

    :param message: what happened and what to do, for a person.
    :param status: HTTP status.
    :param code: the envelope's code, such as ``NOT_FOUND``; empty where the answer had no
        envelope, as with an error of the edge in front of the API.
    :param details: the envelope's field errors.
    :param request_id: the envelope's ``request_id``, which TalkPilot's support asks for.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int,
        code: str = "",
        details: Sequence[FieldError] = (),
        request_id: str | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.details = tuple(details)
        self.request_id = request_id


class BadRequestError(ApiError):
    """400: the API refused a parameter; ``details`` names it."""


class AuthenticationError(ApiError):
    """401: the key is missing, unknown, inactive or expired."""


class PermissionDeniedError(ApiError):
    """403: the key lacks a permission."""


class NotFoundError(ApiError):
    """404: no such agent or call, or the key is not allowed to see it, or a wrong base URL."""


class ConflictError(ApiError):
    """409: the API reports a conflict."""

    retryable = True


class RateLimitedError(ApiError):
    """429 that stayed after waiting as told, several times over.

    :param retry_after: seconds that the last refusal asked to wait.
    """

    retryable = True

    def __init__(self, message: str, *, retry_after: float, **kwargs: object) -> None:
        super().__init__(message, **kwargs)  # type: ignore[arg-type]
        self.retry_after = retry_after


class ServerError(ApiError):
    """5xx, from the API (with an envelope) or from the edge in front of it (with any body)."""

    retryable = True


class UnexpectedResponseError(ApiError):
    """The answer is not TalkPilot's: a redirect, a page without ``pagination``, a wrong record."""


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
    """A body that is no JSON: cut, empty, or HTML of a proxy or of a wrong host."""

    retryable = True


class ConnectionFailedError(TalkPilotError):
    """No answer at all: name not resolved, connection refused or cut, time-out."""

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
