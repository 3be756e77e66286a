"""From an HTTP response to JSON or to a typed error that says what to do."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlsplit

from airflow_provider_talkpilot.api import errors
from airflow_provider_talkpilot.api.address import BASE_URL_SHAPE, moved, origin
from airflow_provider_talkpilot.api.connections import Response
from airflow_provider_talkpilot.api.json_text import parse_json_text
from airflow_provider_talkpilot.api.redaction import PERSONAL_PARAMETERS, plain

_CHECK_HOST = f"Check the base URL (the connection's host): its shape is {BASE_URL_SHAPE}."

_REDIRECTS = (301, 302, 303, 307, 308)

# Request Timeout and Too Early: nothing was done, and the same request may work.
_EDGE_TIMEOUTS = (408, 425)

# Every TalkPilot has these.
_ALWAYS_THERE = ("/health", "/agents")

_CURES: dict[int, tuple[type[errors.ApiError], str]] = {
    400: (errors.BadRequestError, "Correct the named parameter."),
    401: (
        errors.AuthenticationError,
        "The API key is unknown, inactive or expired: renew it, and set the connection's password.",
    ),
    403: (
        errors.PermissionDeniedError,
        "Grant the key the permission named, in TalkPilot's dashboard.",
    ),
    404: (
        errors.NotFoundError,
        "It does not exist, or the key is not allowed to see this agent: check the agent ids.",
    ),
    409: (errors.ConflictError, "Try again later."),
    429: (
        errors.ApiError,
        "Leave this connection a larger part of the quota, or raise the key's limit.",
    ),
}


def parse_json(response: Response) -> dict[str, Any]:
    """Return the JSON object of a successful response, or raise what went wrong.

    :param response: a response that was read whole.
    :return: the object of a 2xx response.
    :raises ApiError: the subclass for the status, or for a body that is not TalkPilot's.
    """
    if 200 <= response.status < 300:
        return _json_object(response)
    raise error_of(response)


def error_of(response: Response) -> errors.ApiError:
    """Build the typed error of a response with a status other than 2xx.

    :param response: the response, with the error envelope or with any other body.
    :return: the error, ready to raise; its message quotes the ``request_id``.
    """
    status = response.status
    if 300 <= status < 400:
        return _redirect_error(response)
    envelope = _envelope(response)
    code = plain(envelope.get("code") or "")
    # A server may quote what it was asked for.
    url = urlsplit(response.url)
    asked = parse_qs(url.query)
    personal = [text for name in PERSONAL_PARAMETERS for text in asked.get(name, [])]
    details = _field_errors(envelope.get("details"), personal)
    request_id = plain(envelope["request_id"]) if envelope.get("request_id") else None

    kind, cure = _CURES.get(status, (errors.ApiError, "See TalkPilot's documentation."))
    if status >= 500 or status in _EDGE_TIMEOUTS:
        kind, cure = errors.ServerError, "TalkPilot has a problem; the same request may work later."
    elif status == 404 and (not envelope or url.path.endswith(_ALWAYS_THERE)):
        cure = f"There is no TalkPilot API at this address. {_CHECK_HOST}"
    said = plain(envelope.get("message") or response.reason or "no message", *personal)
    text = f"{where(response)} answered {status}{f' {code}' if code else ''}: {said.rstrip('.')}"
    if details:
        text += " (" + "; ".join(f"{d.field}: {d.message}" for d in details) + ")"
    text += f". {cure}"
    if request_id:
        text += f" Request id for TalkPilot's support: {request_id}."
    return kind(text, status=status, code=code, details=details, request_id=request_id)


def redirect_of(response: Response) -> str | None:
    """The address that a redirect leads to; None where it leads nowhere, or is none."""
    location = response.headers.get("Location") if response.status in _REDIRECTS else None
    return moved(response.url, location) if location else None


def _redirect_error(response: Response) -> errors.ApiError:
    """The error of a redirect that was not followed."""
    url = redirect_of(response)
    if url is None:
        said = f"{where(response)} answered {response.status}, a redirect that leads nowhere."
    elif origin(url) == origin(response.url):
        said = f"{where(response)} redirects again and again."
    else:
        said = (
            f"{where(response)} redirects to {plain(origin(url))}, which is not followed: the API "
            "key goes to its own host only."
        )
    return errors.UnexpectedResponseError(f"{said} {_CHECK_HOST}", status=response.status)


def _json_object(response: Response) -> dict[str, Any]:
    try:
        body = parse_json_text(response.content)
    except ValueError:
        content_type = response.headers.get("Content-Type", "")
        if "html" in content_type or response.content.lstrip()[:1] == b"<":
            said = "with HTML instead of TalkPilot's JSON."
        elif not response.content:
            said = "with an empty body."
        else:
            said = (
                f"with a body that is no JSON ({len(response.content)} bytes): it was cut, or "
                "comes from something else."
            )
        raise errors.UnreadableResponseError(
            f"{where(response)} answered {said} {_CHECK_HOST}", status=response.status
        ) from None
    if not isinstance(body, dict):
        raise errors.UnexpectedResponseError(
            f"{where(response)} answered with JSON that is no object. {_CHECK_HOST}",
            status=response.status,
        )
    return body


def _envelope(response: Response) -> dict[str, Any]:
    """The ``error`` object; empty where the answer has none (the edge, a proxy, HTML)."""
    try:
        body = parse_json_text(response.content)
    except ValueError:
        return {}
    error = body.get("error") if isinstance(body, dict) else None
    return error if isinstance(error, dict) else {}


def _field_errors(details: object, personal: list[str]) -> list[errors.FieldError]:
    if not isinstance(details, list):
        return []
    return [
        errors.FieldError(plain(d.get("field", "")), plain(d.get("message", ""), *personal))
        for d in details
        if isinstance(d, dict)
    ]


def where(response: Response) -> str:
    """Give method and address without the query, which can hold a caller's number."""
    return f"GET {response.url.partition('?')[0]}"
