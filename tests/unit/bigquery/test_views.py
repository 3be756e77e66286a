"""The SQL of the views as it is sent: live calls alone, and partitions can be pruned."""

from __future__ import annotations

import pytest
from jinja2 import UndefinedError

from airflow_provider_talkpilot.bigquery.statements import render
from airflow_provider_talkpilot.staging.columns import CALLS
from tests.unit.bigquery.test_googlesql import TARGET

ALL = [column.name for column in CALLS]


def sql_of(name: str, columns: list[str] = ALL) -> str:
    return render(
        f"view_{name}", target=TARGET, columns=columns, has_agents=False, has_performance=False
    )


def test_filters_on_a_view_prune_partitions() -> None:
    """BigQuery prunes by the bare column, and by DATE() of it."""
    assert "\n  `created_at`,\n" in sql_of("calls_live")
    assert "\n  calls.created_at,\n" in sql_of("call_messages")
    daily = sql_of("calls_daily")
    assert "\n  DATE(created_at) AS day,\n" in daily
    assert "\nGROUP BY day, agent_id\n" in daily, "a filter on day passes through"


def test_columns_of_the_users_may_have_names_of_keywords() -> None:
    sql = sql_of("calls_live", ["id", "select", "group"])
    assert "\n  `id`,\n  `select`,\n  `group`,\n" in sql


def test_a_statement_without_its_interval_is_refused() -> None:
    with pytest.raises(UndefinedError, match="start"):
        render("known_details", target=TARGET, has_recordings=True)
