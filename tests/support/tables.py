"""The truth of the API as rows of the target table, and the table as it is."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from google.cloud.bigquery import Client

from airflow_provider_talkpilot.staging.columns import COLUMNS, RECORDING

Row = dict[str, Any]

SET = "<set>"
"""Stands for a time of our own clock, in both what is expected and in the table."""

# Of the table of calls; a choice can name columns of the other tables, too.
DROPPABLE = tuple(column.name for column in COLUMNS if column.is_droppable)
HASHABLE = tuple(column.name for column in COLUMNS if column.is_hashable)

_OWN_TIMES = ("synced_at", "detail_synced_at", "erased_at")

ABOUT_PEOPLE = (
    "call_id",
    "customer_name",
    "customer_request",
    "phone_number",
    "call_summary",
    "employee",
    "note",
    "extra",
    "transcript_raw",
    "transcript_source",
)


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
    """What the table must hold for what the API holds, every column.

    :param truth: of the sandbox.
    :param details: whether details were loaded too.
    :param scores: whether scores were, from performance records.
    :param list_has_version: whether list rows came with ``updated_at``.
    :param detail_has_version: whether details did.
    :param spared: purged calls whose detail nobody requested, for their scores are known.
    :param extra: fields that the provider does not know.
    """
    rows, spared_ids = [], {call["id"] for call in spared}
    for call in truth:
        row = {
            name: call[name]
            for name in (
                "id",
                "agent_id",
                "call_id",
                "customer_name",
                "customer_request",
                "phone_number",
                "call_summary",
                "employee",
                "note",
                "duration",
                "done",
                "general_success",
                "disconnection_reason",
                "is_purged",
            )
        }
        version = _moment(call["updated_at"])
        known = list_has_version or (details and detail_has_version)
        messages, raw = _transcript(call["transcript"]) if details else ([], None)
        row |= {
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
            **dict.fromkeys(RECORDING),
            "erased_at": None,
            "synced_at": SET,
        }
        if call["id"] in spared_ids:
            row |= {"detail_updated_at": None, "detail_synced_at": None}
        rows.append(row)
    return sorted(rows, key=_order)


def spared_of(truth: Iterable[Row]) -> list[Row]:
    """The purged calls with a score: a performance record has it, and a detail has no more."""
    return [call for call in truth if call["is_purged"] and call["final_score"] is not None]


def erased_rows(truth: Iterable[Row], **expected: Any) -> list[Row]:
    """What must be left of calls that were in the table and are gone from the API.

    :param truth: the calls as they last were.
    :param expected: of :func:`expected_rows`.
    """
    return [
        row
        | dict.fromkeys(ABOUT_PEOPLE)
        | {"transcript": [], "turns": [], "erased_at": SET}
        | {"detail_updated_at": None, "detail_synced_at": None}
        for row in expected_rows(truth, **expected)
    ]


def table_rows(client: Client, table: str, *, own_times: bool = False) -> list[Row]:
    """Every row of the table, every column.

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
    """Compare call by call and field by field; say all that differs."""
    ids = [row["id"] for row in found]
    twice = sorted({one for one in ids if ids.count(one) > 1})
    assert not twice, f"twice in the table: {twice}"
    there, wanted = ({row["id"]: row for row in rows} for rows in (found, expected))
    differences = [f"missing: {_label(wanted[one])}" for one in wanted.keys() - there.keys()]
    differences += [f"too many: {_label(there[one])}" for one in there.keys() - wanted.keys()]
    for one in wanted.keys() & there.keys():
        have, want = there[one], wanted[one]
        differences += [
            f"{_label(want)}, {name}: {have.get(name)!r}, not {want.get(name)!r}"
            for name in sorted(have.keys() | want.keys())
            if have.get(name, "no column") != want.get(name, "no column")
        ]
    assert not differences, "\n".join(sorted(differences)[:20])


def tables(client: Client, table: str) -> list[str]:
    """The names of the tables in the table's dataset, but for its lock and its agents."""
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
