"""The SQL as it is sent: bounded by constants, complete in its columns."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone

import pytest

from airflow_provider_talkpilot.api import Interval
from airflow_provider_talkpilot.bigquery.schema import staging_schema, target_schema
from airflow_provider_talkpilot.bigquery.statements import render
from airflow_provider_talkpilot.bigquery.table_id import TableId
from airflow_provider_talkpilot.staging.columns import COLUMNS, Source, names

TARGET = TableId.parse("demo.calls.calls")
STAGING = TARGET.sibling("calls_staging_0123")
BERLIN = timezone(timedelta(hours=1))
INTERVAL = Interval(
    datetime(2026, 3, 16, 1, 0, 0, 1, tzinfo=BERLIN), datetime(2026, 3, 17, tzinfo=UTC)
)
MERGES = ("merge_calls", "merge_details")


@pytest.mark.parametrize("name", [*MERGES, "known_details", "reconcile_calls", "erase_calls"])
def test_only_the_intervals_partitions_are_read(name: str) -> None:
    """BigQuery prunes partitions by constants alone."""
    sql = render(
        name,
        target=TARGET,
        staging=STAGING,
        interval=INTERVAL,
        read_before=INTERVAL.end,
        erased_at=INTERVAL.end,
    )
    assert re.search(r"created_at >= TIMESTAMP '2026-03-16 00:00:00\.000001\+00'", sql)
    assert re.search(r"created_at < TIMESTAMP '2026-03-17 00:00:00\.000000\+00'", sql)


@pytest.mark.parametrize("name", MERGES)
def test_a_merge_names_its_tables_once(name: str) -> None:
    sql = render(name, target=TARGET, staging=STAGING, interval=INTERVAL)
    assert sql.count("`demo.calls.calls`") == 1
    assert sql.count("`demo.calls.calls_staging_0123`") == 1
    assert not re.search(r"\{[{%#]", sql), "JSON has braces too"
    assert "created_at = S.created_at" not in sql, "a call stays in its partition"


@pytest.mark.parametrize(
    ("name", "sources"),
    [
        ("merge_calls", (Source.KEY, Source.LIST)),
        ("merge_details", (Source.KEY, Source.LIST, Source.DETAIL)),
    ],
)
def test_every_column_is_inserted_and_updated(name: str, sources: tuple[Source, ...]) -> None:
    sql = render(name, target=TARGET, staging=STAGING, interval=INTERVAL)
    inserted = re.search(r"INSERT \(([^)]*)\)", sql)
    assert inserted
    assert sorted(inserted[1].split(", ")) == sorted(names(*sources))
    values = re.search(r"VALUES \(([^)]*)\)", sql)
    assert values
    assert values[1].split(", ") == [f"S.{name}" for name in inserted[1].split(", ")]
    updated = set(re.findall(r"^\s+(\w+) = ", sql, re.MULTILINE))
    assert set(names(*sources)) - set(names(Source.KEY)) <= updated


def test_the_target_has_every_staged_column() -> None:
    target = {field.name: field for field in target_schema()}
    for kind in ("calls", "details"):
        for field in staging_schema(kind):
            if field.name not in ("detail_found", "drift", "detail_drift"):
                assert target[field.name] == field


def test_columns_are_described_once_each() -> None:
    assert len({column.name for column in COLUMNS}) == len(COLUMNS)
    assert all(column.description.endswith(".") or "…" in column.description for column in COLUMNS)
    assert "audio_file_url" not in {column.name for column in COLUMNS}
