"""The SQL of the views as it is sent: live calls alone, and partitions can be pruned."""

from __future__ import annotations

import re

import pytest
from google.cloud.bigquery import PolicyTagList, SchemaField
from jinja2 import UndefinedError

from airflow_provider_talkpilot.bigquery.schema import target_schema
from airflow_provider_talkpilot.bigquery.statements import render
from airflow_provider_talkpilot.bigquery.table_id import TableId
from airflow_provider_talkpilot.bigquery.views import VIEWS, _described
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
def test_only_live_calls(name: str) -> None:
    where = sql_of(name).split("WHERE")[1].split("GROUP BY")[0]
    assert (
        re.sub(r"\w+\.", "", " ".join(where.split())) == "deleted_at IS NULL AND erased_at IS NULL"
    )


@pytest.mark.parametrize("name", VIEWS)
def test_the_table_is_named_once_and_nothing_is_left_open(name: str) -> None:
    sql = sql_of(name)
    assert sql.count("`my-project.talkpilot.calls`") == 1
    assert not set("{}%") & set(sql)
    assert "*" not in re.sub(r"COUNT\(\*\)", "", sql)


@pytest.mark.parametrize("name", VIEWS)
def test_the_columns_are_those_described(name: str) -> None:
    view = VIEWS[name]
    expected = [column.name for column in view.columns] or ALL
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
    assert "\n  `id`,\n  `select`,\n  `group`\nFROM" in sql


def test_a_statement_without_its_interval_is_refused() -> None:
    with pytest.raises(UndefinedError, match="start"):
        render("known_details", target=TARGET)


def test_only_descriptions_are_sent_back() -> None:
    """BigQuery refuses a view's schema whose types or modes are not its own."""
    tags = PolicyTagList(["projects/p/locations/eu/taxonomies/1/policyTags/2"])
    inner = SchemaField("role", "STRING")
    served = [
        SchemaField("id", "STRING", "NULLABLE"),
        SchemaField("created_at", "TIMESTAMP", "NULLABLE"),
        SchemaField("phone_number", "STRING", policy_tags=tags),
        SchemaField("transcript", "RECORD", "REPEATED", fields=[inner]),
        SchemaField("reviewed", "BOOLEAN", description="Theirs."),
    ]
    described = _described(served, target_schema())
    by_name = {column.name: column.description for column in COLUMNS}
    assert [field.description for field in described] == [
        *(by_name[name] for name in ("id", "created_at", "phone_number", "transcript")),
        "Theirs.",
    ]
    assert described[2].policy_tags == tags
    assert described[3].fields[0].description == "Who spoke: agent, assistant or user."
    for before, after in zip(served, described, strict=True):
        assert (after.name, after.field_type, after.mode) == (
            before.name,
            before.field_type,
            before.mode,
        )
