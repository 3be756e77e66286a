"""Tables of other versions: which columns they lack, which are too narrow, which cannot fit."""

from __future__ import annotations

from collections.abc import Sequence

from google.cloud.bigquery import SchemaField, Table

from airflow_provider_talkpilot.bigquery.errors import BigQueryLoadError
from airflow_provider_talkpilot.bigquery.schema import API_TYPES, schema_field
from airflow_provider_talkpilot.staging.columns import COLUMNS, Column

# Types that BigQuery changes in place, from and to. Source:
# cloud.google.com/bigquery/docs/managing-table-schemas#change_column_data_type
_WIDENED = {("INTEGER", "FLOAT")}


def lacking_columns(table: Table, columns: Sequence[Column] = COLUMNS) -> list[Column]:
    """Give the columns to add to a table.

    :param columns: those that it needs.
    :raises BigQueryLoadError: when adding columns is not enough.
    """
    have = _by_name(table.schema)
    problems = [(column.name, _misfit(column, have.get(column.name))) for column in columns]
    ours = {column.name for column in columns}
    problems += [
        (name, "REQUIRED, and nothing fills it")
        for name, field in have.items()
        if name not in ours and field.mode == "REQUIRED"
    ]
    if wrong := [f"{name} ({problem})" for name, problem in problems if problem]:
        raise BigQueryLoadError(
            f"The table {table.full_table_id or table.table_id} does not have the columns it "
            f"needs: {', '.join(wrong)}. Name another table, or rename this one and let the load "
            "create it anew."
        )
    return [column for column in columns if column.name not in have]


def narrow_columns(table: Table, columns: Sequence[Column] = COLUMNS) -> list[Column]:
    """Give the columns of a table to widen."""
    have = _by_name(table.schema)
    return [
        column
        for column in columns
        if column.name in have
        and (_shown(have[column.name]), _shown(schema_field(column))) in _WIDENED
    ]


def _misfit(column: Column, field: SchemaField | None) -> str:
    """Say what is wrong with a column of the table; nothing where it fits or can be added."""
    if field is None:
        return "missing" if column.mode == "REQUIRED" else ""
    has, wants = _shown(field), _shown(schema_field(column))
    if has != wants and (has, wants) not in _WIDENED:
        return f"{has}, not {wants}"
    if field.mode == "REQUIRED" and column.mode != "REQUIRED":
        return "REQUIRED, and calls come without it"
    inner = _by_name(field.fields)
    problems = [
        f"{part.name} {problem}"
        for part in column.fields
        if (problem := _misfit(part, inner[part.name]) if part.name in inner else "missing")
    ]
    # BigQuery tells the fields of a STRUCT apart by their order, too.
    if not problems and [*inner] != [part.name for part in column.fields]:
        wanted = ", ".join(part.name for part in column.fields)
        problems = [f"{', '.join(inner)}, not {wanted}, in this order"]
    return f"its fields: {', '.join(problems)}" if problems else ""


def _by_name(fields: list[SchemaField] | tuple[SchemaField, ...]) -> dict[str, SchemaField]:
    """Fields by name; BigQuery does not tell names of columns apart by case."""
    return {field.name.lower(): field for field in fields}


def _shown(field: SchemaField) -> str:
    kind = API_TYPES.get(field.field_type, field.field_type)
    return f"{kind}{' REPEATED' if field.mode == 'REPEATED' else ''}"
