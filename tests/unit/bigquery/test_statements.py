"""The SQL as it is sent: it reads no more than it needs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
import sqlglot
from sqlglot import exp

from airflow_provider_talkpilot.api import Interval
from airflow_provider_talkpilot.bigquery.views import VIEWS
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
    ("name", "sql"), STATEMENTS + [(page, query) for page, queries in QUERIES for query in queries]
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
