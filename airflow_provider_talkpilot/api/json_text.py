"""JSON: read as TalkPilot sends it, even if half of a character was cut off a text; and written."""

from __future__ import annotations

import json
import re
from typing import Any

import pydantic_core

_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


def parse_json_text(content: bytes | str) -> Any:
    r"""Parse JSON; bytes and escapes that are no character become U+FFFD.

    JavaScript can cut a text in the middle of an emoji. It writes the remaining half as
    ``\ud83d``, which is no character, and which a file in UTF-8 cannot hold. ``NaN`` and
    ``Infinity``, which are no JSON, become texts.

    :param content: the JSON, as bytes in UTF-8 or as a text.
    :return: plain Python values; every text in them can be encoded.
    :raises ValueError: when it is no JSON, or is nested more than 200 levels deep.
    """
    try:
        return pydantic_core.from_json(content, allow_inf_nan=False, cache_strings="keys")
    except ValueError:
        text = content if isinstance(content, str) else content.decode("utf-8-sig", "replace")
    try:
        # json.dumps writes escapes as characters, so one replacement reaches all texts and keys.
        text = json.dumps(json.loads(text, parse_constant=str), ensure_ascii=False)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    return pydantic_core.from_json(_LONE_SURROGATE.sub("\ufffd", text))


def as_json(value: object) -> str:
    """Write a value as JSON."""
    return pydantic_core.to_json(value).decode()


def as_text(value: Any) -> str | None:
    """Return a text, or None, as it is, and any other value as JSON."""
    return value if value is None or isinstance(value, str) else as_json(value)
