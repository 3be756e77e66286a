"""The SQL as it is sent: bounded by constants, complete in its columns."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone

import pytest
import sqlglot
from sqlglot import exp

from airflow_provider_talkpilot.api import Interval
from airflow_provider_talkpilot.bigquery.views import VIEWS
from airflow_provider_talkpilot.staging.columns import Source, call_columns
from tests.support.docs import DOCS, code
from tests.unit.bigquery import test_googlesql as googlesql

BERLIN = timezone(timedelta(hours=1))
INTERVAL = Interval(
    datetime(2026, 3, 16, 1, 0, 0, 1, tzinfo=BERLIN), datetime(2026, 3, 17, tzinfo=UTC)
)
# Views have no filter of their own: those of the queries on them reach the table.
STATEMENTS = [
    (name, googlesql.filled_in(name, values))
    for name, values in googlesql.STATEMENTS
    if not name.startswith("view_")
]
QUERIES = [
    (page, code((DOCS / page).read_text(), "sql")) for page in ("warehouse.md", "get-started.md")
]


def filled_in(name: str, kind: str) -> str:
    values = googlesql.MERGE | {"kind": kind, "interval": INTERVAL, "has_recordings": True}
    return googlesql.filled_in(name, values | {"duplicates": 1, "gone_agents": ["a"]})


@pytest.mark.parametrize(
    ("name", "kind", "times"),
    [
        ("known_details", "", 1),
        *(("compare", kind, 1) for kind in googlesql.KINDS),
        *(("merge", kind, 5) for kind in googlesql.KINDS),
    ],
)
def test_only_the_intervals_partitions_are_read(name: str, kind: str, times: int) -> None:
    """BigQuery prunes partitions by constants alone."""
    sql = filled_in(name, kind)
    first = re.findall(r"created_at >= TIMESTAMP '2026-03-16 00:00:00\.000001\+00'", sql)
    end = re.findall(r"created_at < TIMESTAMP '2026-03-17 00:00:00\.000000\+00'", sql)
    assert len(first) == len(end) == times
    assert not re.search(r"\{[{%#]", sql), "JSON has braces too"


@pytest.mark.parametrize(
    ("name", "sql"),
    STATEMENTS + [(page, query) for page, queries in QUERIES for query in queries],
)
def test_every_statement_filters_on_the_tables_partition(name: str, sql: str) -> None:
    """A table that requires a filter wants it beside each mention of the table, in no OR."""
    for statement in filter(None, sqlglot.parse(sql, dialect="bigquery")):
        for table in statement.find_all(exp.Table):
            reading = table.find_ancestor(exp.Select, exp.Update, exp.Delete, exp.Merge, exp.Insert)
            copies = isinstance(statement, exp.Create) and name == "warehouse.md"
            if (
                table.name not in (googlesql.TARGET.table, *VIEWS)
                or isinstance(reading, exp.Insert | None)
                or copies
            ):
                continue
            where = reading.args["on" if isinstance(reading, exp.Merge) else "where"]
            condition = where.this if isinstance(where, exp.Where) else where
            terms = condition.flatten() if isinstance(condition, exp.And) else [condition]
            columns = [{column.name for column in term.find_all(exp.Column)} for term in terms]
            assert {"created_at"} in columns or {"day"} in columns, reading.sql()


@pytest.mark.parametrize("kind", googlesql.KINDS)
def test_a_comparison_leaves_transcripts_out(kind: str) -> None:
    """Transcripts are most of what is stored, and BigQuery bills whole columns."""
    assert "transcript" not in filled_in("compare", kind)


@pytest.mark.parametrize(
    ("kind", "sources"),
    [
        ("calls", (Source.KEY, Source.LIST)),
        ("details", (Source.KEY, Source.LIST, Source.DETAIL)),
    ],
)
def test_every_column_is_inserted_and_updated(kind: str, sources: tuple[Source, ...]) -> None:
    sql = filled_in("merge", kind)
    inserted = re.search(r"INSERT INTO \S+ \(([^)]*)\)\nSELECT (.*)", sql)
    assert inserted
    assert sorted(inserted[1].split(", ")) == sorted(call_columns(*sources))
    assert inserted[2].split(", ") == [f"S.{name}" for name in inserted[1].split(", ")]
    updated = set(re.findall(r"^  (\w+) = ", sql, re.MULTILINE))
    assert set(call_columns(*sources)) - set(call_columns(Source.KEY)) <= updated
    assert "created_at" not in updated, "a call stays in its partition"
