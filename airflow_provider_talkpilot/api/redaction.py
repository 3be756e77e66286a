"""Keeping keys and callers out of messages and logs."""

from __future__ import annotations

import re
from urllib.parse import quote, quote_plus

PERSONAL_PARAMETERS = frozenset({"phone_number", "search"})

_KEY = re.compile(r"tp_live_\w+", re.IGNORECASE)
_MOST_CHARACTERS = 500
# Of a server's own words, at most so many characters are searched, and then quoted.
_MOST_READ, _MOST_QUOTED = 2000, 200

_QUERY = re.compile(r"\?[^\s\"'<>=]+=[^\s\"'<>]*")
_USER_OF_A_URL = re.compile(r"//[^/\s@]+@")
_E_MAIL = re.compile(r"[\w.+%-]+(?:@|%40)[\w-]+(?:\.[\w-]+)+")
# Credentials: JSON Web Tokens, bearer tokens, and words of 32 characters or more.
_TOKEN = re.compile(r"\beyJ[\w-]+\.[\w.-]+|(?i:\bbearer\s+)\S+|\b[A-Za-z0-9_=]{32,}")
_NUMBER = re.compile(
    r"(?<![\w.-])(?:\+|%2B)?\(?\d[\d\s()./-]{5,}\d(?![\w-])|(?:\+|%2B)\d[\d\s()./-]{5,}\d",
    re.IGNORECASE,
)
# Dates, and ids without letters, have as many digits as phone numbers.
_DATE_OR_ID = re.compile(r"\d{4}-\d\d-\d\d(?: \d\d)?|\d{8}(?:-\d{4}){3}-\d{12}")
_FEWEST_DIGITS = 7


def plain(text: object, *secrets: str) -> str:
    """Return a text as one line of at most 500 characters, without API keys and these secrets."""
    return _shortened(_one_line(text, *secrets), _MOST_CHARACTERS)


def quoted(text: object, *secrets: str) -> str:
    """Return a server's own words as one short line, without keys and personal data.

    :param text: what a server sent.
    :param secrets: further texts to remove, also if they are percent-encoded.
    """
    encoded = [form(secret) for secret in secrets for form in (quote, quote_plus)]
    line = _one_line(text, *secrets, *encoded)[:_MOST_READ]
    for personal in (_QUERY, _USER_OF_A_URL, _E_MAIL, _TOKEN):
        line = personal.sub("…", line)
    line = _NUMBER.sub(_without_phone_number, line)
    return _shortened(line, _MOST_QUOTED)


def describe_error(error: Exception) -> str:
    """Return the type of a library's error and the first line of its words, without queries."""
    return f"{type(error).__name__}: {without_queries(error)}".splitlines()[0]


def without_queries(text: object) -> str:
    """Return a library's message without queries: that of a resumable upload is a credential."""
    return _QUERY.sub("…", str(text))


def holds_key(text: object) -> bool:
    """Return whether a text has something in it that looks like an API key."""
    return _KEY.search(str(text)) is not None


def _without_phone_number(match: re.Match[str]) -> str:
    text = match[0]
    digits = sum(character.isdigit() for character in text)
    return text if digits < _FEWEST_DIGITS or _DATE_OR_ID.fullmatch(text) else "…"


def _one_line(text: object, *secrets: str) -> str:
    line = " ".join(_KEY.sub("tp_live_…", str(text)).split())
    for secret in secrets:
        if secret:
            line = line.replace(secret, "…")
    return line


def _shortened(line: str, most: int) -> str:
    return line if len(line) <= most else f"{line[:most]}…"
