"""What belongs to callers, to search for where it must not be."""

from __future__ import annotations

import json
from collections.abc import Iterable

from tests.support.tables import Row


def personal(calls: Iterable[Row]) -> dict[str, str]:
    """Texts that tell of callers, and what each of them is.

    :param calls: as the sandbox has them.
    """
    texts = {}
    for call in calls:
        for field in ("customer_name", "phone_number", "call_summary"):
            if call[field]:
                texts[call[field]] = field
        try:
            messages = json.loads(call["transcript"] or "[]")
        except ValueError:
            texts[call["transcript"]] = "transcript"
            continue
        texts |= {m["text"]: "transcript" for m in messages if len(m["text"]) > 15}
    return texts


def forms(text: str) -> set[str]:
    """A text as it is, and as JSON writes it."""
    return {text, json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1]}
