"""Reading JSON as it comes over the wire: also where half a character was cut off a text."""

from __future__ import annotations

import json
import re
from typing import Any

import pydantic_core

_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


def parse_json_text(content: bytes | str) -> Any:
    r"""Parse JSON; what is no character becomes U+FFFD instead of making the rest unreadable.

    JavaScript cuts texts between the two halves of an emoji and writes the half that is left as
    ``\ud83d``, which is no character and which no file in UTF-8 can hold. ``NaN`` and
    ``Infinity``, which are no JSON, become texts.

    :param content: the JSON, bytes in UTF-8.
    :return: plain Python values whose texts can all be encoded.
    :raises ValueError: when it is no JSON, or nested more than 200 levels deep.
    """
    try:
        return pydantic_core.from_json(content, allow_inf_nan=False, cache_strings="keys")
    except ValueError:
        text = content if isinstance(content, str) else content.decode("utf-8-sig", "replace")
    try:
        # Escapes are characters now, so one replacement reaches every text and every key.
        text = json.dumps(json.loads(text, parse_constant=str), ensure_ascii=False)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    return pydantic_core.from_json(_LONE_SURROGATE.sub("\ufffd", text))
