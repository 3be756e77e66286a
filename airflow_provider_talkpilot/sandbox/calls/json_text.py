"""JSON as the API writes it."""

from __future__ import annotations

import json
from typing import Any


def to_json(value: Any) -> bytes:
    """Return JSON as the API writes it: UTF-8, no needless escapes, no spaces."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
