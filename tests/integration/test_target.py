"""Where a new dataset is created, and target tables that lose calls, cost more or are views."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import Any

import pytest
from google.cloud.bigquery import Dataset, SchemaField, TimePartitioning
from google.cloud.exceptions import NotFound

from airflow_provider_talkpilot.bigquery.schema import target_schema
from tests.integration.chain import Chain, refused
from tests.integration.test_evolution import create_table
from tests.support.bigquery_gateway import Gateway
from tests.support.tables import tables

DAY_MS = 86_400_000
VARIABLE = "AIRFLOW_VAR_TALKPILOT_BIGQUERY_LOCATION"
Google = Callable[..., None]


@pytest.fixture
def set_google(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Google:
    """Sets the Google connection, without a location, with the fields that it is given."""

    def connect(**extra: Any) -> None:
        fields = {"is_anonymous": True, "project": "demo", **extra}
        connection = {"conn_type": "google_cloud_platform", "extra": fields}
        monkeypatch.setenv("AIRFLOW_CONN_GOOGLE_CLOUD_DEFAULT", json.dumps(connection))

    connect()
    return connect


def refused_by_all(chain: Chain, *words: str) -> None:
    """Check that no task that knows the table spends a request, or loads anything."""
    calls = chain.extract().returned
    chain.sandbox.reset_counters()
    refused(lambda: chain.extract(table=chain.table), *words)
    refused(lambda: chain.load(calls), *words)
    refused(lambda: chain.enrich(calls), *words)
    assert not chain.sandbox.counters


@pytest.mark.parametrize(
    ("argument", "field", "variable"),
    [("EU", "US", "US"), (None, "EU", "US"), ("", "", "EU")],
    ids=["argument", "connection", "variable"],
)
def test_a_new_dataset_is_where_a_setting_says(
    chain: Chain,
    set_google: Google,
    monkeypatch: pytest.MonkeyPatch,
    argument: str | None,
    field: str,
    variable: str,
) -> None:
    set_google(location=field)
    monkeypatch.setenv(VARIABLE, variable)
    calls = chain.extract(table=chain.table, location=argument).returned
    assert chain.load(calls, location=argument).returned["location"] == "EU"
    dataset = chain.bigquery.get_dataset(chain.table.rpartition(".")[0])
    assert dataset.location == "EU"
    assert dataset.labels == {"source": "talkpilot"}
    chain.assert_table_is_truth(details=False)


@pytest.mark.parametrize("variable", [None, "", " "])
def test_without_a_setting_no_dataset_is_created(
    chain: Chain, set_google: Google, monkeypatch: pytest.MonkeyPatch, variable: str | None
) -> None:
    if variable is not None:
        monkeypatch.setenv(VARIABLE, variable)
    words = ("argument location", "field location", "Variable talkpilot_bigquery_location", "US")
    refused_by_all(chain, *words)
    with pytest.raises(NotFound):
        chain.bigquery.get_dataset(chain.table.rpartition(".")[0])


def test_jobs_run_where_an_existing_dataset_is(chain: Chain, set_google: Google) -> None:
    dataset = Dataset(chain.table.rpartition(".")[0])
    dataset.location = "EU"
    chain.bigquery.create_dataset(dataset)
    set_google(location="US")
    calls = chain.extract(table=chain.table).returned
    assert chain.load(calls).returned["location"] == "EU"
    refused(lambda: chain.extract(table=chain.table, location="US"), "leave location empty")


def test_a_dataset_whose_texts_have_no_case(chain: Chain, gateway: Gateway) -> None:
    """Google clusters no table by a column that inherits its collation."""
    gateway.collation = "und:ci"
    calls, _ = chain.run()
    chain.performance(calls)
    chain.assert_table_is_truth()


@pytest.mark.parametrize(
    ("partitioning", "warning"),
    [
        (
            TimePartitioning(field="created_at", expiration_ms=36_500 * DAY_MS),
            "after 36500 days. To keep the calls: ALTER TABLE `{0}` SET OPTIONS (partition_exp",
        ),
        (TimePartitioning(field="updated_at"), "and Google bills, all of it (the table has"),
        (
            TimePartitioning("MONTH", field="created_at"),
            "and Google bills, each whole month that it touches (the table has",
        ),
    ],
    ids=["forgets days", "by another column", "by month"],
)
def test_a_table_that_forgets_days_or_costs_more_is_named_once_a_run(
    chain: Chain, caplog: pytest.LogCaptureFixture, partitioning: TimePartitioning, warning: str
) -> None:
    create_table(chain, partitioning=partitioning)
    chain.run()
    warnings = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    [line] = [line for line in warnings if chain.table in line]
    assert warning.format(chain.table) in line
    chain.assert_table_is_truth()


def test_days_that_the_table_no_longer_keeps_cost_no_request(chain: Chain) -> None:
    two_days = TimePartitioning(field="created_at", expiration_ms=2 * DAY_MS)
    create_table(chain, partitioning=two_days)
    refused_by_all(chain, "after 2 days", f"ALTER TABLE `{chain.table}`", "a later start")
    assert tables(chain.bigquery, chain.table) == ["calls"]


def test_rows_without_an_id_are_no_calls(chain: Chain) -> None:
    """Other software can insert them into a user's own table that requires no id."""
    create_table(chain, [SchemaField("id", "STRING"), *target_schema()[1:]])
    for _ in range(2):
        chain.bigquery.query(
            f"INSERT INTO `{chain.table}` (created_at) VALUES (TIMESTAMP '2026-03-16 12:00:00+00')"
        ).result()
    chain.run()
    chain.bigquery.query(f"DELETE FROM `{chain.table}` WHERE id IS NULL").result()
    chain.assert_table_is_truth()


@pytest.mark.parametrize(
    ("kind", "statement"),
    [
        ("VIEW", "CREATE VIEW `{0}_2` AS SELECT * FROM `{0}`"),
        ("MATERIALIZED_VIEW", "CREATE MATERIALIZED VIEW `{0}_2` AS SELECT * FROM `{0}`"),
        ("SNAPSHOT", "CREATE SNAPSHOT TABLE `{0}_2` CLONE `{0}`"),
        ("EXTERNAL", "CREATE TABLE `{0}_2` LIKE `{0}`"),
    ],
)
def test_a_view_or_another_object_as_the_target(
    chain: Chain, gateway: Gateway, kind: str, statement: str
) -> None:
    create_table(chain)
    chain.bigquery.query(statement.format(chain.table)).result()
    chain.table = f"{chain.table}_2"
    if kind == "EXTERNAL":  # the emulator calls these tables, too
        gateway.table_type = kind
    refused_by_all(chain, f"is no table ({kind})", "name a table")
