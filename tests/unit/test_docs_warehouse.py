"""The tables in docs/warehouse.md are what the code makes, and its example is one that runs."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from airflow.providers.common.compat.sdk import DAG

from airflow_provider_talkpilot.bigquery.views import VIEWS
from airflow_provider_talkpilot.operators.bigquery import TalkPilotCreateViewsOperator
from airflow_provider_talkpilot.staging.columns import COLUMNS
from tests.support.docs import DOCS, code, code_by_heading, section, table

TEXT = (DOCS / "warehouse.md").read_text(encoding="utf-8")
SQL_TYPES = {"INTEGER": "INT64", "FLOAT": "FLOAT64"}


def sql_type(name: str) -> str:
    return SQL_TYPES.get(name, name)


def test_what_is_never_null_is_named() -> None:
    required = [column.name for column in COLUMNS if column.mode == "REQUIRED"]
    assert f"Only {', '.join(f'`{name}`' for name in required[:-1])} and `{required[-1]}`" in TEXT


def rows_of(columns: Iterable[tuple[str, str, str]]) -> list[tuple[str, ...]]:
    return [(name, sql_type(kind), description) for name, kind, description in columns]


@pytest.mark.parametrize("name", VIEWS)
def test_the_views_columns(name: str) -> None:
    assert table(section(TEXT, name)) == rows_of(
        (column.name, column.field_type, column.description) for column in VIEWS[name].columns
    )


def test_the_example_makes_the_operator() -> None:
    [example] = code(section(TEXT, "Views"), "python")
    with DAG("views", schedule=None) as dag:
        exec(example, {})
    [made] = dag.tasks
    assert isinstance(made, TalkPilotCreateViewsOperator)
    assert list(made.views or VIEWS) == list(VIEWS)


def test_every_query_filters_on_partitions_or_counts_all() -> None:
    whole = {"Purged, soft-deleted and erased calls", "Calls that are there twice"}
    queries = code_by_heading(section(TEXT, "Queries"), "sql")
    assert len(queries) == 8
    for title, query in queries.items():
        pruned = "WHERE created_at >= " in query or "WHERE day >= " in query
        assert pruned != (title in whole)
