"""From an HTTP response to its JSON object, or to a typed error that says what to do.

An error has TalkPilot's envelope, or another shape: ``{"code","message"}``, ``{"msg"}``, header
``sb-error-code`` (supabase.com/docs/guides/functions/status-codes and error-codes),
``{"error":"text"}``, HTML, text or nothing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from html import unescape
from http import HTTPStatus
from typing import Any

import httpx

from airflow_provider_talkpilot.api import errors
from airflow_provider_talkpilot.api.http.address import origin
from airflow_provider_talkpilot.api.http.verdicts import CHECK_HOST, NO_API_HERE, verdict_on
from airflow_provider_talkpilot.api.json_text import parse_json_text
from airflow_provider_talkpilot.api.redaction import PERSONAL_PARAMETERS, plain, quoted

# Every TalkPilot has these.
_ALWAYS_THERE = ("/health", "/agents")
_MOST_CHARACTERS = 16_384
_MESSAGES = ("message", "msg", "error_description", "detail", "title", "error")
_CODES = ("code", "error_code", "error")
_ERROR_FIELDS = {*_MESSAGES, *_CODES, "status", "statusCode", "success"}
# TalkPilot's codes, such as NOT_FOUND. Others send such an envelope with other codes.
_ENVELOPE_CODE = re.compile(r"[A-Z]+(_[A-Z]+)*")
# A code is one word; a sentence is a message.
_CODE = re.compile(r"[A-Za-z][\w.-]{,60}")
_TITLE = re.compile(r"<(title|h1)\b[^>]*>(.*?)</\1", re.IGNORECASE | re.DOTALL)
_TAG = re.compile(r"<[^>]*>")


def read_object(response: httpx.Response) -> dict[str, Any]:
    """Return the JSON object of a successful response.

    :raises ApiError: the subclass for another status, or for a body that is not TalkPilot's.
    """
    if not response.is_success:
        raise error_of(response)
    try:
        body = parse_json_text(response.content)
    except ValueError:
        raise _unreadable(response, f"responded {_describe_no_json(response)}.") from None
    if not isinstance(body, dict):
        raise errors.UnexpectedResponseError(
            f"{_get(response)} responded with JSON that is no object. {CHECK_HOST}",
            status=response.status_code,
        )
    if set(body) <= _ERROR_FIELDS and {"message", "msg", "error"} & set(body):
        said = _read_error(response).message.rstrip(".")
        raise _unreadable(response, f"responded with an error that is not TalkPilot's: {said}.")
    return body


def error_of(response: httpx.Response) -> errors.ApiError:
    """Make the typed error of a response with a status other than 2xx; it quotes the server."""
    status = response.status_code
    if 300 <= status < 400:
        return _redirect_error(response)
    said = _read_error(response)
    kind, cure = verdict_on(status, said.code, is_talkpilots=said.is_talkpilots)
    if kind is errors.NotFoundError and response.url.path.endswith(_ALWAYS_THERE):
        cure = NO_API_HERE
    text = f"{_get(response)} responded {f'{status} {said.code}'.strip()}"
    text += f": {said.message.rstrip('.')}"
    if said.details:
        text += " (" + "; ".join(f"{d.field}: {d.message}" for d in said.details) + ")"
    text += f". {cure}"
    if said.request_id:
        text += f" Request id for TalkPilot's support: {said.request_id}."
    return kind(
        text, status=status, code=said.code, details=said.details, request_id=said.request_id
    )


def _redirect_error(response: httpx.Response) -> errors.ApiError:
    """The error of a redirect that was not followed."""
    redirect = response.next_request
    if redirect is None:
        said = f"responded {response.status_code}, a redirect that leads nowhere."
    elif origin(redirect.url) == origin(response.url):
        said = "redirects again and again."
    else:
        said = (
            f"redirects to {plain(origin(redirect.url))}, which is not followed: the API key goes "
            "to its own host only."
        )
    return errors.UnexpectedResponseError(
        f"{_get(response)} {said} {CHECK_HOST}", status=response.status_code
    )


def _unreadable(response: httpx.Response, said: str) -> errors.UnreadableResponseError:
    return errors.UnreadableResponseError(
        f"{_get(response)} {said} {CHECK_HOST}", status=response.status_code
    )


def _get(response: httpx.Response) -> str:
    """Method and address without the query, which can hold a caller's number."""
    return f"GET {str(response.url).partition('?')[0]}"


def _describe_no_json(response: httpx.Response) -> str:
    if _is_html(response):
        title = quoted(_title(response)).rstrip(".")
        return "with HTML instead of TalkPilot's JSON" + (f": {title}" if title else "")
    if not response.content:
        return "with an empty body"
    # It is not quoted: a record that was cut may have a caller in it.
    return (
        f"with a body that is no JSON ({len(response.content)} bytes): it was cut, or comes from "
        "something else"
    )


@dataclass(frozen=True)
class _ErrorBody:
    """What the body of an error says, ready to be quoted: short and without personal data."""

    is_talkpilots: bool
    code: str
    message: str
    details: tuple[errors.FieldError, ...] = ()
    request_id: str | None = None


def _read_error(response: httpx.Response) -> _ErrorBody:
    # A server may quote what it was sent.
    sent = response.url.params
    personal = [text for name in PERSONAL_PARAMETERS for text in sent.get_list(name)]
    try:
        body = parse_json_text(response.content)
    except ValueError:
        body = None
    envelope = body.get("error") if isinstance(body, dict) else None
    if isinstance(envelope, dict) and _ENVELOPE_CODE.fullmatch(str(envelope.get("code"))):
        details = envelope.get("details")
        return _ErrorBody(
            True,
            plain(envelope["code"]),
            quoted(envelope.get("message") or _phrase(response), *personal),
            tuple(
                errors.FieldError(
                    plain(detail.get("field", "")), quoted(detail.get("message", ""), *personal)
                )
                for detail in (details if isinstance(details, list) else ())
                if isinstance(detail, dict)
            ),
            plain(envelope["request_id"]) if envelope.get("request_id") else None,
        )
    if body is None:
        message, codes = _text_of(response), list[str]()
    elif isinstance(body, str):
        message, codes = body, []
    else:
        message = next(iter(_texts(body, _MESSAGES)), "JSON without a message")
        codes = [text for text in _texts(body, _CODES) if _CODE.fullmatch(text) and text != message]
    code = codes[0] if codes else response.headers.get("sb-error-code", "")
    return _ErrorBody(False, plain(code), quoted(message, *personal))


def _texts(body: Any, names: tuple[str, ...]) -> list[str]:
    """The texts under these names, in an error or in the ``error`` inside it."""
    places = [body, body.get("error")] if isinstance(body, dict) else []
    values = [place.get(name) for place in places if isinstance(place, dict) for name in names]
    return [value for value in values if isinstance(value, str) and value.strip()]


def _text_of(response: httpx.Response) -> str:
    """The words of a body that is no JSON."""
    content = response.content.strip()
    if not content:
        return f"{_phrase(response)}, with an empty body"
    if _is_html(response):
        return _title(response) or "a web page without a title"
    # A record that was cut may have a caller in it.
    if content[:1] in b"{[":
        return "JSON that was cut"
    text = " ".join(_decoded(response).split())
    return text if text.isprintable() else f"{len(content)} bytes, no text"


def _phrase(response: httpx.Response) -> str:
    """The status in words: the server's, or HTTP's own."""
    try:
        return response.reason_phrase or HTTPStatus(response.status_code).phrase
    except ValueError:
        return "no message"


def _is_html(response: httpx.Response) -> bool:
    """Whether a body is a web page, whatever its header says."""
    content_type = response.headers.get("Content-Type", "")
    return "html" in content_type or response.content.lstrip()[:1] == b"<"


def _title(response: httpx.Response) -> str:
    """A web page's title or first heading; empty where it has none."""
    found = _TITLE.search(_decoded(response))
    return unescape(" ".join(_TAG.sub(" ", found[2]).split())) if found else ""


def _decoded(response: httpx.Response) -> str:
    return response.content[:_MOST_CHARACTERS].decode("utf-8", "replace")
