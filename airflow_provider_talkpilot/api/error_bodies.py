"""What the body of an error says: TalkPilot's envelope, or the words of something else.

Between us and TalkPilot stand the edge that hosts it and proxies: they have shapes of their own.
Sources: supabase.com/docs/guides/functions/status-codes and error-codes (``{"code","message"}``,
``{"msg"}``, header ``sb-error-code``); others send ``{"error":"text"}``, HTML, text or nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from html import unescape
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs, urlsplit

from airflow_provider_talkpilot.api.connections import Response
from airflow_provider_talkpilot.api.errors import FieldError
from airflow_provider_talkpilot.api.json_text import parse_json_text
from airflow_provider_talkpilot.api.redaction import PERSONAL_PARAMETERS, plain, quoted

# A web page says who it is at its beginning.
_MOST_BYTES = 16_384
_MESSAGES = ("message", "msg", "error_description", "detail", "title", "error")
_CODES = ("code", "error_code", "error")
_TITLE = re.compile(r"<(title|h1)\b[^>]*>(.*?)</\1", re.IGNORECASE | re.DOTALL)
_NO_TEXT = re.compile(
    r"<(script|style|head)\b.*?</\1\s*>|<!--.*?-->|<[^>]*>", re.IGNORECASE | re.DOTALL
)
# TalkPilot's codes, such as NOT_FOUND; others have such an envelope, too.
_ENVELOPE_CODE = re.compile(r"[A-Z]+(_[A-Z]+)*")
# A code is one word; a sentence is a message.
_CODE = re.compile(r"[\w.-]{1,60}")


@dataclass(frozen=True)
class ErrorBody:
    """What a response with an error says, ready to be quoted.

    :param is_talkpilots: whether it has TalkPilot's envelope, ``{"error":{"code",…}}``.
    :param code: a word that names the error; empty where there is none.
    :param message: one short line without personal data.
    :param details: the parameters that are wrong.
    :param request_id: what TalkPilot's support wants to know.
    """

    is_talkpilots: bool
    code: str
    message: str
    details: tuple[FieldError, ...] = ()
    request_id: str | None = None


def read_error_body(response: Response) -> ErrorBody:
    """Read the body of a response with an error.

    :param response: a response that was read whole.
    """
    # A server may quote what it was sent.
    sent = parse_qs(urlsplit(response.url).query)
    personal = [text for name in PERSONAL_PARAMETERS for text in sent.get(name, [])]
    try:
        body = parse_json_text(response.content)
    except ValueError:
        body = None
    envelope = body.get("error") if isinstance(body, dict) else None
    if isinstance(envelope, dict) and _ENVELOPE_CODE.fullmatch(str(envelope.get("code"))):
        said = envelope.get("message") or phrase_of(response)
        return ErrorBody(
            True,
            plain(envelope["code"]),
            quoted(said, *personal),
            tuple(_field_errors(envelope.get("details"), personal)),
            plain(envelope["request_id"]) if envelope.get("request_id") else None,
        )
    code = response.headers.get("sb-error-code", "")
    if body is None:
        said = _text_of(response)
    else:
        said = next(_texts(body, _MESSAGES), "")
        codes = (text for text in _texts(body, _CODES) if _CODE.fullmatch(text))
        code = next((text for text in codes if text not in (str(response.status), said)), code)
        said = said or "JSON without a message"
    return ErrorBody(False, plain(code), quoted(said, *personal))


def is_error_of_something_else(body: dict[str, Any]) -> bool:
    """Whether the JSON of a successful response tells of an error, in a shape not TalkPilot's."""
    names = {*_MESSAGES, *_CODES, "status", "statusCode", "success"}
    return bool(body) and set(body) <= names and bool({"message", "msg", "error"} & set(body))


def title_of(content: bytes) -> str:
    """Name a web page by its title or first heading; empty where it has none.

    :param content: the body.
    """
    found = _TITLE.search(_decoded(content))
    return quoted(_without_tags(found[2])) if found else ""


def is_html(response: Response) -> bool:
    """Whether a body is a web page, whatever its header says."""
    content_type = response.headers.get("Content-Type", "")
    return "html" in content_type or response.content.lstrip()[:1] == b"<"


def phrase_of(response: Response) -> str:
    """Give the status in words: the server's, or HTTP's own."""
    try:
        return response.reason or HTTPStatus(response.status).phrase
    except ValueError:
        return "no message"


def _text_of(response: Response) -> str:
    """What a body says that is no JSON."""
    content = response.content.strip()
    if not content:
        return f"{phrase_of(response)}, with an empty body"
    if is_html(response):
        return title_of(content) or _without_tags(_decoded(content)) or "a web page without text"
    # A record that was cut may have a caller in it.
    if content[:1] in b"{[":
        return "JSON that was cut"
    text = _decoded(content)
    return text if text.replace("\n", " ").isprintable() else f"{len(content)} bytes, no text"


def _decoded(content: bytes) -> str:
    return content[:_MOST_BYTES].decode("utf-8", "replace").replace("\r", " ").replace("\t", " ")


def _without_tags(html: str) -> str:
    return unescape(" ".join(_NO_TEXT.sub(" ", html).split()))


def _texts(body: Any, names: tuple[str, ...]) -> Iterator[str]:
    """The texts and whole numbers under these names, in an error's usual places."""
    if isinstance(body, str):
        yield body
    if not isinstance(body, dict):
        return
    errors = body.get("errors")
    inner = errors[0] if isinstance(errors, list) and errors else body.get("error")
    for place in (body, inner if isinstance(inner, dict) else {}):
        for name in names:
            value = place.get(name)
            if isinstance(value, str | int) and not isinstance(value, bool) and str(value).strip():
                yield str(value).strip()
    if isinstance(errors, list) and errors and isinstance(errors[0], str):
        yield errors[0]


def _field_errors(details: object, personal: list[str]) -> Iterator[FieldError]:
    for detail in details if isinstance(details, list) else ():
        if isinstance(detail, dict):
            yield FieldError(
                plain(detail.get("field", "")), quoted(detail.get("message", ""), *personal)
            )
