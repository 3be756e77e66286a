"""Reading JSON as it comes over the wire: also where half a character was cut off a text."""

from __future__ import annotations

import json
import re
from typing import Any

import pydantic_core

_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
_REPLACEMENT = "\ufffd"
# The parser of pydantic reads 200 levels, and BigQuery 500. A record adds some around a value.
_LEVELS = 150


def parse_json_text(content: bytes | str) -> Any:
    r"""Parse JSON; what is no character becomes U+FFFD instead of making the rest unreadable.

    JavaScript cuts texts between the two halves of an emoji and writes the half that is left as
    ``\ud83d``, which is no character and which no file in UTF-8 can hold. ``NaN`` and
    ``Infinity``, which are no JSON, become texts. So does a value that is nested very deeply.

    :param content: the JSON, bytes in UTF-8.
    :return: plain Python values whose texts can all be encoded.
    :raises ValueError: when it is no JSON.
    """
    try:
        return pydantic_core.from_json(content, allow_inf_nan=False, cache_strings="keys")
    except ValueError:
        return _parse_leniently(content)


def _parse_leniently(content: bytes | str) -> Any:
    text = content if isinstance(content, str) else content.decode("utf-8-sig", "replace")
    try:
        parsed = json.loads(text, parse_constant=str)
        # Escapes are characters now, so one replacement reaches every text and every key.
        plain = json.dumps(_shallow(parsed, _LEVELS), ensure_ascii=False)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    return pydantic_core.from_json(_LONE_SURROGATE.sub(_REPLACEMENT, plain))


def _shallow(value: Any, levels: int) -> Any:
    """The value, with the JSON text of whatever is nested deeper than so many levels."""
    if not isinstance(value, dict | list):
        return value
    if not levels:
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, list):
        return [_shallow(item, levels - 1) for item in value]
    return {name: _shallow(item, levels - 1) for name, item in value.items()}
