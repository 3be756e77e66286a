"""From an HTTP response to its JSON object, or to a typed error that says what to do.

Who responded decides what an error means. Only TalkPilot's own envelope says anything about the
key, an agent or a call. A response without it comes from something in front of TalkPilot: its
hosting, a proxy, a firewall, a login page.

Sources: docs.talkpilot.io (authentication, guides/error-handling), supabase.com/docs
(guides/platform/http-status-codes).
"""

from __future__ import annotations

import re
from html import unescape
from http import HTTPStatus
from typing import Any, NamedTuple

import httpx

from airflow_provider_talkpilot.api import errors
from airflow_provider_talkpilot.api.http.address import CHECK_HOST, origin
from airflow_provider_talkpilot.api.json_text import parse_json_text
from airflow_provider_talkpilot.api.redaction import PERSONAL_PARAMETERS, plain, quoted

# Every version of the API has these paths.
_PATHS_OF_ALL = ("/health", "/agents")
# How an API may refuse a page beyond the end of a list; PostgREST, for one, sends 416.
_NO_SUCH_PAGE = (400, 404, 416)
_MOST_CHARACTERS = 16_384
_MESSAGE_FIELDS = ("message", "msg", "error_description", "detail", "title", "error")
_ERROR_FIELDS = {*_MESSAGE_FIELDS, "code", "error_code", "status", "statusCode", "success"}
# TalkPilot's codes, such as NOT_FOUND. Others send such an envelope with other codes.
_ENVELOPE_CODE = re.compile(r"[A-Z]+(_[A-Z]+)*")
_TITLE = re.compile(r"<(title|h1)\b[^>]*>(.*?)</\1", re.IGNORECASE | re.DOTALL)
_UNSEEN = re.compile(r"<(script|style|head)\b.*?</\1\s*>", re.IGNORECASE | re.DOTALL)
_TAG = re.compile(r"<[^>]*>")


class Meaning(NamedTuple):
    """What an error response means: the type of our error, and the cure in a sentence or two."""

    error: type[errors.ApiError]
    cure: str


_TROUBLE = Meaning(errors.ServerError, "TalkPilot has a problem; the same request may work later.")

# Errors in TalkPilot's envelope, by code or status. Any other 5xx is _TROUBLE.
_BY_TALKPILOT: dict[str | int, Meaning] = {
    400: Meaning(errors.BadRequestError, "Correct the named parameter."),
    401: Meaning(
        errors.AuthenticationError,
        "The API key is unknown, inactive or expired: renew it, and set the connection's password.",
    ),
    403: Meaning(
        errors.PermissionDeniedError,
        "Grant the key the permission named, in TalkPilot's dashboard (Settings, API).",
    ),
    "AGENT_NOT_ACCESSIBLE": Meaning(
        errors.AgentNotAccessibleError,
        "The key's list of agents does not include this agent: add it to the key in TalkPilot's "
        "dashboard (Settings, API), or take it out of agent_ids (for the shipped DAGs the Variable "
        "talkpilot_agent_ids).",
    ),
    404: Meaning(
        errors.NotFoundError,
        "It does not exist, was erased, belongs to another organization, or the key is not allowed "
        "to see this agent: check the agent ids.",
    ),
    408: _TROUBLE,
    409: _TROUBLE,
    425: _TROUBLE,
    429: Meaning(
        errors.RateLimitedError,
        "It refused again and again, though the client waited as told. Leave this connection a "
        "larger part of the quota, or raise the key's limit.",
    ),
}
_SEE_DOCUMENTATION = Meaning(errors.ApiError, "See TalkPilot's documentation.")

_NO_VERDICT_ON_THE_KEY = Meaning(
    errors.GatewayError,
    "This says nothing about the API key: something in front of TalkPilot refused, such as its "
    "hosting, or a firewall, proxy or login page of yours. Check the network's way to the base URL "
    "(the connection's host), and tell TalkPilot's support.",
)
_HOSTING_STOPPED = Meaning(
    errors.GatewayBlockedError,
    "TalkPilot's hosting has stopped it, and no retry helps before it runs again: tell TalkPilot's "
    "support, and clear this task afterwards.",
)
_REFUSED_BY_OTHERS = Meaning(
    errors.GatewayBlockedError,
    "It was not TalkPilot that refused, but something in front of it, such as a proxy (its login "
    f"goes into HTTPS_PROXY) or another server. {CHECK_HOST}",
)
_NO_API_HERE = Meaning(
    errors.GatewayBlockedError, f"There is no TalkPilot API at this address. {CHECK_HOST}"
)

# Errors without TalkPilot's envelope, by status. Any other 5xx is _TROUBLE.
_BY_OTHERS: dict[str | int, Meaning] = {
    401: _NO_VERDICT_ON_THE_KEY,
    402: _HOSTING_STOPPED,
    403: _NO_VERDICT_ON_THE_KEY,
    404: _NO_API_HERE,
    408: _TROUBLE,
    410: _NO_API_HERE,
    425: _TROUBLE,
    429: Meaning(
        errors.RateLimitedError,
        "Something in front of TalkPilot limits requests, whatever the key's quota is: set the "
        "connection's requests_per_minute lower.",
    ),
    511: _REFUSED_BY_OTHERS,
    540: _HOSTING_STOPPED,
}


def read_object(response: httpx.Response) -> dict[str, Any]:
    """Return the JSON object of a successful response.

    :raises ApiError: the subclass for another status, or for a body that is not TalkPilot's.
    :raises WalkMovedError: when a list no longer has the page.
    """
    if not response.is_success:
        page = response.url.params.get("page", "1")
        if response.status_code in _NO_SUCH_PAGE and page != "1":
            raise errors.WalkMovedError(
                f"The list {response.url.path} changed while it was read: page {page} was refused "
                f"with {response.status_code}. If it does so at every try, report it to TalkPilot."
            )
        raise error_of(response)
    try:
        body = parse_json_text(response.content)
    except ValueError:
        # Other text is not quoted: a record that was cut may have a caller in it.
        content = f"HTML ({quoted(_message_of(response))})" if _is_html(response) else "no JSON"
        raise _unreadable(response, f"{content}, {len(response.content)} bytes") from None
    if not isinstance(body, dict):
        raise errors.UnexpectedResponseError(
            f"{_get(response)} responded with JSON that is no object. {CHECK_HOST}",
            status=response.status_code,
        )
    if set(body) <= _ERROR_FIELDS and {"message", "msg", "error"} & set(body):
        raise _unreadable(response, f"an error: {quoted(_message_of(response)).rstrip('.')}")
    return body


def error_of(response: httpx.Response) -> errors.ApiError:
    """Return the typed error of a response with a status other than 2xx; it quotes the server."""
    status = response.status_code
    if 300 <= status < 400:
        return _redirect_error(response)
    envelope = _envelope(response)
    if envelope is None:
        envelope = {"message": _message_of(response)}
        meanings, otherwise = _BY_OTHERS, _REFUSED_BY_OTHERS
    else:
        meanings, otherwise = _BY_TALKPILOT, _SEE_DOCUMENTATION
    code, request_id = plain(envelope.get("code") or ""), plain(envelope.get("request_id") or "")
    error, cure = meanings.get(code) or meanings.get(
        status, _TROUBLE if status >= 500 else otherwise
    )
    path = response.url.path
    if error is errors.NotFoundError and path.endswith(_PATHS_OF_ALL):
        cure = _NO_API_HERE.cure
    # Older APIs do not know this path, and need not say so in TalkPilot's envelope.
    if status == HTTPStatus.NOT_FOUND and path.endswith("/performance"):
        error, cure = Meaning(
            errors.NotFoundError,
            "TalkPilot has no performance records at this address, as before September 2026, or no "
            "longer has the agent.",
        )
    if status >= 500 and meanings is _BY_TALKPILOT:
        envelope = {}  # the words of a server that failed may quote a record
    # A server may quote what it was sent.
    sent = [text for name in PERSONAL_PARAMETERS for text in response.url.params.get_list(name)]
    message = quoted(envelope.get("message") or _phrase(response), *sent)
    text = f"{_get(response)} responded {f'{status} {code}'.strip()}: {message.rstrip('.')}"
    details = envelope.get("details")
    fields = [
        f"{plain(detail.get('field', ''))}: {quoted(detail.get('message', ''), *sent)}"
        for detail in (details if isinstance(details, list) else ())
        if isinstance(detail, dict)
    ]
    if fields:
        text += f" ({'; '.join(fields)})"
    text += f". {cure}"
    if request_id:
        text += f" Request id for TalkPilot's support: {request_id}."
    return error(text, status=status, code=code, request_id=request_id or None)


def _redirect_error(response: httpx.Response) -> errors.ApiError:
    """Return the error of a redirect that was not followed."""
    redirect = response.next_request
    if redirect is None:
        fault = f"responded {response.status_code}, a redirect that leads nowhere."
    elif origin(redirect.url) == origin(response.url):
        fault = "redirects again and again."
    else:
        fault = (
            f"redirects to {plain(origin(redirect.url))}, which is not followed: the API key goes "
            "to its own host only."
        )
    return errors.UnexpectedResponseError(
        f"{_get(response)} {fault} {CHECK_HOST}", status=response.status_code
    )


def _unreadable(response: httpx.Response, content: str) -> errors.UnreadableResponseError:
    return errors.UnreadableResponseError(
        f"{_get(response)} responded with {content}, instead of TalkPilot's JSON: it was cut, or "
        f"comes from something else. {CHECK_HOST}",
        status=response.status_code,
    )


def _get(response: httpx.Response) -> str:
    """Return method and address without the query, which can hold a caller's number."""
    return f"GET {str(response.url).partition('?')[0]}"


def _envelope(response: httpx.Response) -> dict[str, Any] | None:
    """Return TalkPilot's own error; None if another server responded."""
    try:
        body = parse_json_text(response.content)
    except ValueError:
        return None
    error = body.get("error") if isinstance(body, dict) else None
    is_talkpilots = isinstance(error, dict) and _ENVELOPE_CODE.fullmatch(str(error.get("code")))
    return error if is_talkpilots else None


def _message_of(response: httpx.Response) -> str:
    """Return another server's message: a page's title or heading, a field of JSON, or the text."""
    content = response.content[:_MOST_CHARACTERS].strip()
    text = content.decode("utf-8", "replace")
    if not content:
        return f"{_phrase(response)}, with an empty body"
    if _is_html(response):
        title = _TITLE.search(text)
        message = unescape(_TAG.sub(" ", title[2] if title else _UNSEEN.sub(" ", text)))
        return message if message.strip() else "a web page without a text"
    try:
        body = parse_json_text(response.content)
    except ValueError:
        # A record that was cut may have a caller in it.
        is_text = content[:1] not in b"{[" and " ".join(text.split()).isprintable()
        return text if is_text else f"{len(content)} bytes"
    prefix = ""
    while isinstance(body, dict):
        code = body.get("code") or body.get("error_code")
        prefix = f"{code}: " if isinstance(code, str) else prefix
        body = next((body[name] for name in _MESSAGE_FIELDS if body.get(name)), None)
    return prefix + (body if isinstance(body, str) else "JSON without a message")


def _phrase(response: httpx.Response) -> str:
    """Return the status in words: the server's, or HTTP's own."""
    try:
        return response.reason_phrase or HTTPStatus(response.status_code).phrase
    except ValueError:
        return "no message"


def _is_html(response: httpx.Response) -> bool:
    """Return whether the body is a web page, whatever its header says."""
    content_type = response.headers.get("Content-Type", "")
    return "html" in content_type or response.content.lstrip()[:1] == b"<"
