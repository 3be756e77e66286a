"""Older tables grow, users' columns stay, and tables that cannot fit stop the load."""

from __future__ import annotations

import logging

import pytest
from google.cloud.bigquery import SchemaField, Table, TimePartitioning

from airflow_provider_talkpilot.bigquery.schema import target_schema
from tests.integration.chain import Chain, refused
from tests.support.tables import tables

pytestmark = pytest.mark.slow


def transcript(*fields: str) -> SchemaField:
    inside = [SchemaField(field, "STRING") for field in fields]
    return SchemaField("transcript", "RECORD", "REPEATED", fields=inside)


def create_table(
    chain: Chain,
    schema: list[SchemaField] | None = None,
    partitioning: TimePartitioning | None = None,
    **labels: str,
) -> None:
    """Create a target table as an older version, or other software, may have done."""
    chain.bigquery.create_dataset(chain.table.rpartition(".")[0], exists_ok=True)
    table = Table(chain.table, schema=schema or target_schema())
    table.time_partitioning = partitioning or TimePartitioning(field="created_at")
    table.labels = labels
    chain.bigquery.create_table(table)


@pytest.mark.google
def test_a_table_of_an_older_version_grows(chain: Chain, caplog: pytest.LogCaptureFixture) -> None:
    lacking = {"extra", "transcript", "transcript_raw", "erased_at", "disconnection_reason"}
    create_table(chain, [field for field in target_schema() if field.name not in lacking])
    with caplog.at_level(logging.INFO):
        chain.run()
    chain.assert_table_is_truth()
    lines = "\n".join(line for line in caplog.messages if "Changing the table" in line)
    assert all(f"add column {name}." in lines for name in lacking)


@pytest.mark.google
def test_columns_and_labels_of_users_stay(chain: Chain) -> None:
    own = [
        SchemaField("reviewed_by", "STRING", description="Ours."),
        SchemaField("tags", "STRING", mode="REPEATED"),
    ]
    older = [field for field in target_schema() if field.name != "final_score"]
    create_table(chain, [own[0], *older, own[1]], team="support")
    calls = chain.summaries()
    chain.bigquery.query(f"UPDATE `{chain.table}` SET reviewed_by = 'Kim' WHERE TRUE").result()
    chain.load(chain.enrich(calls).returned)
    chain.sandbox.store.edit(chain.truth()[0]["id"], note="edited")
    chain.run()

    table = chain.bigquery.get_table(chain.table)
    assert table.labels == {"team": "support"}
    assert {field.name for field in own} <= {field.name for field in table.schema}
    rows = chain.rows()
    assert [row.pop("reviewed_by") for row in rows] == ["Kim"] * len(rows)
    assert not any(row.pop("tags") for row in rows)


CONFLICTS = {
    SchemaField("phone_number", "INTEGER"): "phone_number (INTEGER, not STRING)",
    SchemaField("duration", "INTEGER", mode="REPEATED"): "INTEGER REPEATED, not INTEGER",
    SchemaField("note", "STRING", mode="REQUIRED"): "note (REQUIRED, and calls come without",
    SchemaField("tenant", "STRING", mode="REQUIRED"): "tenant (REQUIRED, and nothing fills",
    SchemaField("agent_id", "INTEGER", mode="REQUIRED"): "agent_id (INTEGER, not STRING)",
}


@pytest.mark.google
@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (SchemaField("transcript", "STRING"), "transcript (STRING, not RECORD REPEATED)"),
        (transcript("role"), "transcript (its fields: text missing)"),
        (transcript("text", "role"), "its fields: text, role, not role, text, in this order"),
    ],
    ids=["type", "fields", "order"],
)
def test_conflicts_stop_before_the_load(chain: Chain, changed: SchemaField, message: str) -> None:
    conflicts = {**CONFLICTS, changed: message}
    names = {field.name for field in conflicts}
    create_table(chain, [*(f for f in target_schema() if f.name not in names), *conflicts])
    refused(chain.summaries, *conflicts.values(), "rename this one")
    assert tables(chain.bigquery, chain.table) == ["calls"], "no staging table was made"


@pytest.mark.google
def test_a_key_column_cannot_be_added(chain: Chain) -> None:
    create_table(chain, [field for field in target_schema() if field.name != "id"])
    refused(chain.summaries, "id (missing)")


def test_long_time_travel_is_named_once(chain: Chain, caplog: pytest.LogCaptureFixture) -> None:
    chain.bigquery.create_dataset(chain.table.rpartition(".")[0])
    chain.run()
    [line] = [line for line in caplog.messages if "time travel" in line]
    assert "168 hours" in line
    assert "SET OPTIONS (max_time_travel_hours = 48)" in line
