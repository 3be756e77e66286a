"""Keeping keys and callers out of what people and logs get to read."""

from __future__ import annotations

import re

PERSONAL_PARAMETERS = frozenset({"phone_number", "search"})

_KEY = re.compile(r"tp_live_\w+")
_MOST_CHARACTERS = 500


def plain(text: object, *secrets: str) -> str:
    """One line of bounded length, without API keys.

    :param text: from a person or from a server.
    :param secrets: texts to take out as well.
    """
    line = " ".join(_KEY.sub("tp_live_…", str(text)).split())
    for secret in secrets:
        line = line.replace(secret, "…")
    return line if len(line) <= _MOST_CHARACTERS else f"{line[:_MOST_CHARACTERS]}…"
