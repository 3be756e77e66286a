"""The columns of ``staging/columns.py`` as BigQuery's client library wants them."""

from __future__ import annotations

from google.cloud.bigquery import SchemaField

from airflow_provider_talkpilot.staging.columns import TABLES, Column, staging_columns

# BigQuery's API has other names for some types than its SQL.
API_TYPES = {"INT64": "INTEGER", "FLOAT64": "FLOAT", "BOOL": "BOOLEAN", "STRUCT": "RECORD"}


def target_schema(table: str = "") -> list[SchemaField]:
    """Schema of the target table, or of one beside it (see ``TABLES``)."""
    return [schema_field(column) for column in TABLES[table]]


def staging_schema(kind: str) -> list[SchemaField]:
    """Schema of the staging table for parts of a kind."""
    return [schema_field(column) for column in staging_columns(kind)]


def schema_field(column: Column) -> SchemaField:
    """A column as the client library wants it."""
    return SchemaField(
        column.name,
        API_TYPES.get(column.type, column.type),
        column.mode,
        description=column.description,
        fields=[schema_field(field) for field in column.fields],
    )
