"""From an HTTP response to its JSON object, or to a typed error that says what to do.

Only TalkPilot's own envelope is a verdict on the key, an agent or a call. Everything else comes
from something in front of TalkPilot. The client sends a request again at once for ``ServerError``;
for another type with ``retryable`` the task's next try may get through.

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
from airflow_provider_talkpilot.api.http.address import BASE_URL_SHAPE, origin
from airflow_provider_talkpilot.api.json_text import parse_json_text
from airflow_provider_talkpilot.api.redaction import PERSONAL_PARAMETERS, plain, quoted

CHECK_HOST = f"Check the base URL (the connection's host): its shape is {BASE_URL_SHAPE}."
NO_API_HERE = f"There is no TalkPilot API at this address. {CHECK_HOST}"

# Every TalkPilot has these.
_ALWAYS_THERE = ("/health", "/agents")
_NO_RECORDS = (
    "TalkPilot has no performance records at this address, as before September 2026, or no longer "
    "has the agent."
)
_MOST_CHARACTERS = 16_384
_MESSAGES = ("message", "msg", "error_description", "detail", "title", "error")
_ERROR_FIELDS = {*_MESSAGES, "code", "error_code", "status", "statusCode", "success"}
# TalkPilot's codes, such as NOT_FOUND. Others send such an envelope with other codes.
_ENVELOPE_CODE = re.compile(r"[A-Z]+(_[A-Z]+)*")
_TITLE = re.compile(r"<(title|h1)\b[^>]*>(.*?)</\1", re.IGNORECASE | re.DOTALL)
_UNSEEN = re.compile(r"<(script|style|head)\b.*?</\1\s*>", re.IGNORECASE | re.DOTALL)
_TAG = re.compile(r"<[^>]*>")


class Verdict(NamedTuple):
    """What an error is: its type, and what to do in one or two sentences."""

    error: type[errors.ApiError]
    cure: str


_TROUBLE = Verdict(errors.ServerError, "TalkPilot has a problem; the same request may work later.")

# Responses with TalkPilot's envelope, by code or status. Of the rest, 5xx is trouble.
_TALKPILOTS: dict[str | int, Verdict] = {
    400: Verdict(errors.BadRequestError, "Correct the named parameter."),
    401: Verdict(
        errors.AuthenticationError,
        "The API key is unknown, inactive or expired: renew it, and set the connection's password.",
    ),
    403: Verdict(
        errors.PermissionDeniedError,
        "Grant the key the permission named, in TalkPilot's dashboard (Settings, API).",
    ),
    "AGENT_NOT_ACCESSIBLE": Verdict(
        errors.AgentNotAccessibleError,
        "The key's list of agents does not include this agent: add it to the key in TalkPilot's "
        "dashboard (Settings, API), or take it out of agent_ids (for the shipped DAGs the Variable "
        "talkpilot_agent_ids).",
    ),
    404: Verdict(
        errors.NotFoundError,
        "It does not exist, was erased, belongs to another organization, or the key is not allowed "
        "to see this agent: check the agent ids.",
    ),
    408: _TROUBLE,
    409: _TROUBLE,
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
_REFUSED = Verdict(
    errors.GatewayBlockedError,
    "It was not TalkPilot that refused, but something in front of it, such as a proxy (its login "
    f"goes into HTTPS_PROXY) or another server. {CHECK_HOST}",
)
_NO_API = Verdict(errors.GatewayBlockedError, NO_API_HERE)

# Responses without TalkPilot's envelope, by status. Of the rest, 5xx is trouble, and 4xx a refusal.
ELSEWHERE: dict[int, Verdict] = {
    401: _NO_VERDICT_ON_THE_KEY,
    402: _STOPPED,
    403: _NO_VERDICT_ON_THE_KEY,
    404: _NO_API,
    408: _TROUBLE,
    410: _NO_API,
    425: _TROUBLE,
    429: Verdict(
        errors.RateLimitedError,
        "Something in front of TalkPilot limits requests, whatever the key's quota is: set the "
        "connection's requests_per_minute lower.",
    ),
    511: _REFUSED,
    540: _STOPPED,
}


def read_object(response: httpx.Response) -> dict[str, Any]:
    """Return the JSON object of a successful response.

    :raises ApiError: the subclass for another status, or for a body that is not TalkPilot's.
    """
    if not response.is_success:
        raise error_of(response)
    try:
        body = parse_json_text(response.content)
    except ValueError:
        # Other text is not quoted: a record that was cut may have a caller in it.
        found = f"HTML ({quoted(_said(response))})" if _is_html(response) else "no JSON"
        raise _unreadable(response, f"{found}, {len(response.content)} bytes") from None
    if not isinstance(body, dict):
        raise errors.UnexpectedResponseError(
            f"{_get(response)} responded with JSON that is no object. {CHECK_HOST}",
            status=response.status_code,
        )
    if set(body) <= _ERROR_FIELDS and {"message", "msg", "error"} & set(body):
        raise _unreadable(response, f"an error: {quoted(_said(response)).rstrip('.')}")
    return body


def error_of(response: httpx.Response) -> errors.ApiError:
    """Make the typed error of a response with a status other than 2xx; it quotes the server."""
    status = response.status_code
    if 300 <= status < 400:
        return _redirect_error(response)
    # A server may quote what it was sent.
    sent = response.url.params
    personal = [text for name in PERSONAL_PARAMETERS for text in sent.get_list(name)]
    envelope = _envelope(response)
    code, details, request_id = "", list[str](), ""
    if envelope is None:
        kind, cure = ELSEWHERE.get(status, _TROUBLE if status >= 500 else _REFUSED)
        message = quoted(_said(response), *personal)
    else:
        code, request_id = plain(envelope["code"]), plain(envelope.get("request_id") or "")
        kind, cure = _TALKPILOTS.get(code) or _TALKPILOTS.get(
            status, _TROUBLE if status >= 500 else _TALKPILOTS_OTHERS
        )
        message = quoted(envelope.get("message") or _phrase(response), *personal)
        given = envelope.get("details")
        details = [
            f"{plain(each.get('field', ''))}: {quoted(each.get('message', ''), *personal)}"
            for each in (given if isinstance(given, list) else ())
            if isinstance(each, dict)
        ]
    if kind is errors.NotFoundError and response.url.path.endswith(_ALWAYS_THERE):
        cure = NO_API_HERE
    # Older APIs do not know this path, and need not say so in TalkPilot's envelope.
    if status == HTTPStatus.NOT_FOUND and response.url.path.endswith("/performance"):
        kind, cure = errors.NotFoundError, _NO_RECORDS
    text = f"{_get(response)} responded {f'{status} {code}'.strip()}: {message.rstrip('.')}"
    if details:
        text += f" ({'; '.join(details)})"
    text += f". {cure}"
    if request_id:
        text += f" Request id for TalkPilot's support: {request_id}."
    return kind(text, status=status, code=code, request_id=request_id or None)


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


def _unreadable(response: httpx.Response, found: str) -> errors.UnreadableResponseError:
    return errors.UnreadableResponseError(
        f"{_get(response)} responded with {found}, instead of TalkPilot's JSON: it was cut, or "
        f"comes from something else. {CHECK_HOST}",
        status=response.status_code,
    )


def _get(response: httpx.Response) -> str:
    """Method and address without the query, which can hold a caller's number."""
    return f"GET {str(response.url).partition('?')[0]}"


def _envelope(response: httpx.Response) -> dict[str, Any] | None:
    """TalkPilot's own error; None where another server responded."""
    try:
        body = parse_json_text(response.content)
    except ValueError:
        return None
    error = body.get("error") if isinstance(body, dict) else None
    is_ours = isinstance(error, dict) and _ENVELOPE_CODE.fullmatch(str(error.get("code")))
    return error if is_ours else None


def _said(response: httpx.Response) -> str:
    """What another server said: a page's title or first heading, JSON's message, or its text."""
    content = response.content[:_MOST_CHARACTERS].strip()
    text = content.decode("utf-8", "replace")
    if not content:
        return f"{_phrase(response)}, with an empty body"
    if _is_html(response):
        found = _TITLE.search(text)
        said = unescape(_TAG.sub(" ", found[2] if found else _UNSEEN.sub(" ", text)))
        return said if said.strip() else "a web page without a text"
    try:
        body = parse_json_text(response.content)
    except ValueError:
        # A record that was cut may have a caller in it.
        is_text = content[:1] not in b"{[" and " ".join(text.split()).isprintable()
        return text if is_text else f"{len(content)} bytes"
    code = ""
    while isinstance(body, dict):
        found = body.get("code") or body.get("error_code")
        code = f"{found}: " if isinstance(found, str) else code
        body = next((body[name] for name in _MESSAGES if body.get(name)), None)
    return code + body if isinstance(body, str) else f"{code}JSON without a message"


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
