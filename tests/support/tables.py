"""The API's calls as rows of the target table, and the rows that the table has."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from google.cloud.bigquery import Client

from airflow_provider_talkpilot.staging.rows.columns import CALLS, RECORDING_COLUMNS

Row = dict[str, Any]

SET = "<set>"
"""Stands for a time of our own clock, in expected rows and in the table's."""

# Columns of the table of calls; a choice can name columns of the other tables, too.
DROPPABLE = tuple(column.name for column in CALLS if column.is_droppable)
HASHABLE = tuple(column.name for column in CALLS if column.is_hashable)

_OWN_TIMES = ("synced_at", "detail_synced_at", "erased_at")

ABOUT_PEOPLE = (
    "call_id", "customer_name", "customer_request", "phone_number", "call_summary", "employee",
    "note", "extra", "transcript_raw", "transcript_source",
)  # fmt: skip


def expected_rows(
    truth: Iterable[Row],
    *,
    details: bool = True,
    scores: bool = False,
    list_has_version: bool = True,
    detail_has_version: bool = True,
    spared: Iterable[Row] = (),
    extra: Row | None = None,
) -> list[Row]:
    """Return the rows that the table must hold, with every column.

    :param truth: the API's calls, from the sandbox.
    :param details: whether details were loaded too.
    :param scores: whether scores were loaded from performance records.
    :param list_has_version: whether list rows came with ``updated_at``.
    :param detail_has_version: whether details came with ``updated_at``.
    :param spared: purged calls whose detail was not requested, because their scores are known.
    :param extra: the fields that the provider does not know.
    """
    rows, spared_ids = [], {call["id"] for call in spared}
    for call in truth:
        version = _moment(call["updated_at"])
        known = list_has_version or (details and detail_has_version)
        messages, raw = _transcript(call["transcript"]) if details else ([], None)
        row = call | {
            "created_at": _moment(call["created_at"]),
            "deleted_at": _moment(call["deleted_at"]),
            "updated_at": version if known else None,
            "extra": extra,
            "transcript": messages,
            "transcript_raw": raw,
            "transcript_source": "api" if messages or raw else None,
            "turns": [],
            "final_score": call["final_score"] if details or scores else None,
            "detail_updated_at": version if known and details else None,
            "detail_synced_at": SET if details else None,
            **dict.fromkeys(RECORDING_COLUMNS),
            "erased_at": None,
            "synced_at": SET,
        }
        if call["id"] in spared_ids:
            row |= {"detail_updated_at": None, "detail_synced_at": None}
        rows.append(row)
    return sorted(rows, key=_order)


def spared_of(truth: Iterable[Row]) -> list[Row]:
    """Return the purged calls with a score: a performance record has it, a detail adds nothing."""
    return [call for call in truth if call["is_purged"] and call["final_score"] is not None]


def erased_rows(truth: Iterable[Row], **expected: Any) -> list[Row]:
    """Return what must be left of calls that were in the table and are gone from the API.

    :param truth: the calls as they last were.
    :param expected: further arguments of :func:`expected_rows`.
    """
    return [
        row
        | dict.fromkeys(ABOUT_PEOPLE)
        | {"transcript": [], "turns": [], "erased_at": SET}
        | {"detail_updated_at": None, "detail_synced_at": None}
        for row in expected_rows(truth, **expected)
    ]


def table_rows(client: Client, table: str, *, own_times: bool = False) -> list[Row]:
    """Return every row of the table, with every column.

    :param own_times: keep the times of our own clock as they are.
    """
    rows = []
    for found in client.query(f"SELECT * FROM `{table}`").result():
        row = dict(found)
        if isinstance(row["extra"], str):
            row["extra"] = json.loads(row["extra"])
        for name in ("transcript", "turns"):
            row[name] = [dict(one) for one in row[name] or []]
        if not own_times:
            row |= {name: SET for name in _OWN_TIMES if row[name] is not None}
        rows.append(row)
    return sorted(rows, key=_order)


def assert_equal_rows(found: list[Row], expected: list[Row]) -> None:
    """Check call by call and field by field, and report all differences."""
    assert expected, "a test on no calls proves nothing"
    ids = Counter(row["id"] for row in found)
    differences = [f"twice in the table: {call}" for call, times in ids.items() if times > 1]
    have, want = ({row["id"]: row for row in rows} for rows in (found, expected))
    differences += [f"missing: {_label(want[call])}" for call in want.keys() - have.keys()]
    differences += [f"too many: {_label(have[call])}" for call in have.keys() - want.keys()]
    for call in want.keys() & have.keys():
        row, wanted = have[call], want[call]
        differences += [
            f"{_label(wanted)}, {name}: {row.get(name)!r}, not {wanted.get(name)!r}"
            for name in row.keys() | wanted.keys()
            if row.get(name, "no column") != wanted.get(name, "no column")
        ]
    assert not differences, "\n".join(sorted(differences)[:20])


def tables(client: Client, table: str) -> list[str]:
    """Return the tables in the table's dataset, without its lock and its agents."""
    dataset, _, name = table.rpartition(".")
    found = {item.table_id for item in client.list_tables(dataset)}
    return sorted(found - {f"{name}_lock", f"{name}_agents"})


def _label(row: Row) -> str:
    return f"{row['id']} of {row['created_at']}"


def _order(row: Row) -> tuple[datetime, str]:
    return row["created_at"], row["id"]


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def _transcript(text: str | None) -> tuple[list[Row], str | None]:
    if text is None:
        return [], None
    try:
        return json.loads(text), None
    except ValueError:
        return [], text
