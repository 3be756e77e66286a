"""From an HTTP response to JSON or to a typed error that says what to do."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from airflow_provider_talkpilot.api import errors
from airflow_provider_talkpilot.api.address import moved, origin
from airflow_provider_talkpilot.api.connections import Response
from airflow_provider_talkpilot.api.error_bodies import (
    is_error_of_something_else,
    is_html,
    read_error_body,
    title_of,
)
from airflow_provider_talkpilot.api.json_text import parse_json_text
from airflow_provider_talkpilot.api.redaction import plain
from airflow_provider_talkpilot.api.verdicts import CHECK_HOST, NO_API_HERE, verdict_on

_REDIRECTS = (301, 302, 303, 307, 308)

# Every TalkPilot has these.
_ALWAYS_THERE = ("/health", "/agents")


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
    :return: the error, ready to raise; its message quotes what was said and the ``request_id``.
    """
    status = response.status
    if 300 <= status < 400:
        return _redirect_error(response)
    body = read_error_body(response)
    kind, cure = verdict_on(status, body.code, is_talkpilots=body.is_talkpilots)
    if kind is errors.NotFoundError and urlsplit(response.url).path.endswith(_ALWAYS_THERE):
        cure = NO_API_HERE
    text = f"{where(response)} responded {status}{f' {body.code}' if body.code else ''}"
    text += f": {body.message.rstrip('.')}"
    if body.details:
        text += " (" + "; ".join(f"{d.field}: {d.message}" for d in body.details) + ")"
    text += f". {cure}"
    if body.request_id:
        text += f" Request id for TalkPilot's support: {body.request_id}."
    return kind(
        text, status=status, code=body.code, details=body.details, request_id=body.request_id
    )


def redirect_of(response: Response) -> str | None:
    """The address that a redirect leads to; None where it leads nowhere, or is none."""
    location = response.headers.get("Location") if response.status in _REDIRECTS else None
    return moved(response.url, location) if location else None


def _redirect_error(response: Response) -> errors.ApiError:
    """The error of a redirect that was not followed."""
    url = redirect_of(response)
    if url is None:
        said = f"{where(response)} responded {response.status}, a redirect that leads nowhere."
    elif origin(url) == origin(response.url):
        said = f"{where(response)} redirects again and again."
    else:
        said = (
            f"{where(response)} redirects to {plain(origin(url))}, which is not followed: the API "
            "key goes to its own host only."
        )
    return errors.UnexpectedResponseError(f"{said} {CHECK_HOST}", status=response.status)


def _json_object(response: Response) -> dict[str, Any]:
    try:
        body = parse_json_text(response.content)
    except ValueError:
        if is_html(response):
            title = title_of(response.content)
            said = "with HTML instead of TalkPilot's JSON" + (
                f": {title.rstrip('.')}." if title else "."
            )
        elif not response.content:
            said = "with an empty body."
        else:
            # It is not quoted: a record that was cut may have a caller in it.
            said = (
                f"with a body that is no JSON ({len(response.content)} bytes): it was cut, or "
                "comes from something else."
            )
        raise errors.UnreadableResponseError(
            f"{where(response)} responded {said} {CHECK_HOST}", status=response.status
        ) from None
    if not isinstance(body, dict):
        raise errors.UnexpectedResponseError(
            f"{where(response)} responded with JSON that is no object. {CHECK_HOST}",
            status=response.status,
        )
    if is_error_of_something_else(body):
        said = read_error_body(response).message.rstrip(".")
        raise errors.UnreadableResponseError(
            f"{where(response)} responded with an error that is not TalkPilot's: {said}. "
            f"{CHECK_HOST}",
            status=response.status,
        )
    return body


def where(response: Response) -> str:
    """Give method and address without the query, which can hold a caller's number."""
    return f"GET {response.url.partition('?')[0]}"
