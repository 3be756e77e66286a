"""The SQL of the views as it is sent: live calls alone, and partitions can be pruned."""

from __future__ import annotations

import re

import pytest
from jinja2 import UndefinedError

from airflow_provider_talkpilot.bigquery.statements import render
from airflow_provider_talkpilot.bigquery.table_id import TableId
from airflow_provider_talkpilot.bigquery.views import VIEWS
from airflow_provider_talkpilot.staging.columns import COLUMNS

TARGET = TableId.parse("my-project.talkpilot.calls")
ALL = [column.name for column in COLUMNS]


def sql_of(name: str) -> str:
    return render(f"view_{name}", target=TARGET, columns=ALL)


def selected(name: str) -> list[str]:
    """The names of a view's columns, as its SQL gives them."""
    clauses = re.search(r"^SELECT\n(.*?)^FROM ", sql_of(name), re.MULTILINE | re.DOTALL)
    assert clauses
    lines = re.split(r",\n(?=  \S)", clauses[1].strip())
    found = [re.search(r"(\w+)`?$", line.strip()) for line in lines]
    return [match[1] for match in found if match]


@pytest.mark.parametrize("name", VIEWS)
def test_the_columns_are_those_described(name: str) -> None:
    view = VIEWS[name]
    expected = [column.name for column in view.columns] or [*ALL, "agent_name"]
    assert selected(name) == expected
    assert all(column.description.endswith((".", "…")) for column in view.columns)


def test_what_prunes_partitions_is_there_as_it_is() -> None:
    """BigQuery prunes by the bare column, and by DATE() of it."""
    assert "\n  `created_at`,\n" in sql_of("calls_live")
    assert "\n  calls.created_at,\n" in sql_of("call_messages")
    daily = sql_of("calls_daily")
    assert "\n  DATE(created_at) AS day,\n" in daily
    assert "\nGROUP BY day, agent_id\n" in daily, "a filter on day passes through"


def test_columns_of_the_users_may_have_names_of_keywords() -> None:
    sql = render("view_calls_live", target=TARGET, columns=["id", "select", "group"])
    assert "\n  `id`,\n  `select`,\n  `group`,\n" in sql


def test_a_statement_without_its_interval_is_refused() -> None:
    with pytest.raises(UndefinedError, match="start"):
        render("known_details", target=TARGET)
