"""Keeping keys and callers out of what people and logs get to read."""

from __future__ import annotations

import re
from urllib.parse import quote, quote_plus

PERSONAL_PARAMETERS = frozenset({"phone_number", "search"})

_KEY = re.compile(r"tp_live_\w+", re.IGNORECASE)
_MOST_CHARACTERS = 500
# A server's own words are shorter: a sentence or two. No more than this is looked through.
_MOST_QUOTED, _MOST_READ = 200, 2000

_QUERY = re.compile(r"\?[^\s\"'<>=]+=[^\s\"'<>]*")
_USER_OF_A_URL = re.compile(r"//[^/\s@]+@")
_E_MAIL = re.compile(r"[\w.+%-]+(?:@|%40)[\w-]+(?:\.[\w-]+)+")
# What logs people in: JSON Web Tokens, and whatever is as long as a key without a hyphen in it.
_TOKEN = re.compile(r"\beyJ[\w-]+\.[\w.-]+|(?i:\bbearer\s+)\S+|\b[A-Za-z0-9_=]{32,}")
_NUMBER = re.compile(
    r"(?<![\w.-])(?:\+|%2B)?\(?\d[\d\s()./-]{5,}\d(?![\w-])|(?:\+|%2B)\d[\d\s()./-]{5,}\d",
    re.IGNORECASE,
)
# Numbers with as many digits as a phone number that are none: dates, and ids without letters.
_NO_PHONE_NUMBER = re.compile(r"\d{4}-\d\d-\d\d(?: \d\d)?|\d{8}(?:-\d{4}){3}-\d{12}")
_FEWEST_DIGITS = 7


def plain(text: object, *secrets: str) -> str:
    """Make one line of bounded length, without API keys and these secrets."""
    return _shortened(_one_line(text, *secrets), _MOST_CHARACTERS)


def quoted(text: object, *secrets: str) -> str:
    """Make a short line of a server's own words, without keys and without personal data.

    :param text: what a server sent.
    :param secrets: texts to take out as well, also where they are percent-encoded.
    """
    encoded = [form(secret) for secret in secrets for form in (quote, quote_plus)]
    line = _one_line(text, *secrets, *encoded)[:_MOST_READ]
    for personal in (_QUERY, _USER_OF_A_URL, _E_MAIL, _TOKEN):
        line = personal.sub("…", line)
    line = _NUMBER.sub(_without_phone_number, line)
    return _shortened(line, _MOST_QUOTED)


def holds_key(text: object) -> bool:
    """Whether a text has something in it that looks like an API key."""
    return _KEY.search(str(text)) is not None


def _without_phone_number(found: re.Match[str]) -> str:
    text = found[0]
    digits = sum(character.isdigit() for character in text)
    return text if digits < _FEWEST_DIGITS or _NO_PHONE_NUMBER.fullmatch(text) else "…"


def _one_line(text: object, *secrets: str) -> str:
    line = " ".join(_KEY.sub("tp_live_…", str(text)).split())
    for secret in secrets:
        if secret:
            line = line.replace(secret, "…")
    return line


def _shortened(line: str, most: int) -> str:
    return line if len(line) <= most else f"{line[:most]}…"
