"""Rows of performance records."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from airflow_provider_talkpilot.api import PerformanceRecord
from airflow_provider_talkpilot.api.models import RedFlag, storable
from airflow_provider_talkpilot.staging.rows.columns import PERFORMANCE

RED_FLAGS = (
    "assistant_misunderstood_multiple_times",
    "repeated_same_sentence",
    "abrupt_end_without_goodbye",
    "connection_issue_repeated",
    "assistant_policy_violation",
    "technical_error",
    "early_hangup_by_caller",
)
"""The red flags that docs.talkpilot.io, api/performance, names. There can be others."""


def performance_row(record: PerformanceRecord, synced_at: datetime) -> dict[str, Any]:
    """Make a row of a performance record.

    :param record: the record, from a list.
    :param synced_at: when it was read.
    :return: values by column. ``red_flags`` has every field with ``detected``, whatever its name;
        not those that are null, which TalkPilot did not look for. ``extra`` has unknown fields and
        values that do not fit.
    """
    row = {**vars(record), "synced_at": synced_at, "red_flags": []}
    extra = record.extra | record.drift
    unfit = dict[str, Any]()
    for name in [name for name, value in extra.items() if is_red_flag(name, value)]:
        value = extra.pop(name)
        if isinstance(value, dict):
            flag = RedFlag.read(value)
            row["red_flags"].append({"name": name, **vars(flag)})
            value = flag.extra | flag.drift
        unfit |= {name: value} if value not in (None, {}) else {}
    extra |= {"red_flags": unfit} if unfit else {}
    if result := record.final_result:
        row["final_result"] = dict(vars(result))
        if unfit := result.extra | result.drift:
            extra["final_result"] = unfit
    for name in ("pre_call_variables", "extracted_variables"):
        row[name] = storable(row[name])
    return row | ({"extra": extra} if extra else {})


def is_red_flag(name: str, value: Any) -> bool:
    """Whether a field of a performance record is a red flag, known or unknown."""
    return name in RED_FLAGS or (isinstance(value, dict) and "detected" in value)


def without_personal(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row of a performance record with its personal data emptied."""
    kept = dict(row)
    for column in PERFORMANCE:
        value = row.get(column.name)
        if column.is_personal and column.name in row:
            kept[column.name] = None
        elif column.fields and value:
            empty = {field.name: None for field in column.fields if field.is_personal}
            kept[column.name] = (
                [item | empty for item in value] if column.is_repeated else value | empty
            )
    return kept
