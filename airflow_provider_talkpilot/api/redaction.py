"""Keeping keys and callers out of what people and logs get to read."""

from __future__ import annotations

import logging
import re

import httpx

PERSONAL_PARAMETERS = frozenset({"phone_number", "search"})

_KEY = re.compile(r"tp_live_\w+")
_MOST_CHARACTERS = 500
_OURS: set[str] = set()


def plain(text: object, *secrets: str) -> str:
    """One line of bounded length, without API keys.

    :param text: from a person or from a server.
    :param secrets: texts to take out as well.
    """
    line = " ".join(_KEY.sub("tp_live_…", str(text)).split())
    for secret in secrets:
        line = line.replace(secret, "…")
    return line if len(line) <= _MOST_CHARACTERS else f"{line[:_MOST_CHARACTERS]}…"


def keep_requests_out_of_logs(base_url: str) -> None:
    """Drop httpx's own log line of every request to an API.

    Its URL can hold a caller's number, and thousands of such lines drown the task's.

    :param base_url: of the API.
    """
    logger = logging.getLogger("httpx")
    if _is_not_ours not in logger.filters:
        logger.addFilter(_is_not_ours)
    _OURS.add(base_url)


def _is_not_ours(record: logging.LogRecord) -> bool:
    urls = [str(arg) for arg in record.args or () if isinstance(arg, httpx.URL)]
    return not any(url.startswith(ours) for url in urls for ours in _OURS)
