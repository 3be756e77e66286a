"""Tables of other versions: which columns they lack, which are too narrow, which cannot fit."""

from __future__ import annotations

from collections.abc import Sequence

from google.cloud.bigquery import SchemaField, Table

from airflow_provider_talkpilot.bigquery.errors import BigQueryLoadError
from airflow_provider_talkpilot.bigquery.schema import target_schema

# Standard and legacy SQL have two names for some types.
_NAMES = {"INT64": "INTEGER", "FLOAT64": "FLOAT", "BOOL": "BOOLEAN", "STRUCT": "RECORD"}
_DDL_NAMES = {"INTEGER": "INT64", "FLOAT": "FLOAT64", "BOOLEAN": "BOOL"}
# Types that BigQuery changes in place, from and to. Source:
# cloud.google.com/bigquery/docs/managing-table-schemas#change_column_data_type
_WIDENED = {("INTEGER", "FLOAT")}


def lacking_columns(table: Table) -> list[SchemaField]:
    """The columns to add.

    :raises BigQueryLoadError: when adding columns is not enough.
    """
    # BigQuery does not tell names of columns apart by case.
    have = {field.name.lower(): field for field in table.schema}
    wanted = target_schema()
    wrong = [
        f"{want.name} ({problem})"
        for want in wanted
        if (problem := _misfit(want, have.get(want.name)))
    ]
    ours = {want.name for want in wanted}
    wrong += [
        f"{name} (REQUIRED, and nothing fills it)"
        for name, field in have.items()
        if name not in ours and field.mode == "REQUIRED"
    ]
    if wrong:
        raise BigQueryLoadError(
            f"The table {table.full_table_id or table.table_id} does not have the columns it "
            f"needs: {', '.join(wrong)}. Name another table, or rename this one and let the load "
            "create it anew."
        )
    return [want for want in wanted if want.name not in have]


def narrow_columns(table: Table) -> list[SchemaField]:
    """The columns to widen, as they are to be."""
    have = {field.name.lower(): field for field in table.schema}
    return [
        want
        for want in target_schema()
        if want.name in have and (_type(have[want.name]), _type(want)) in _WIDENED
    ]


def _misfit(want: SchemaField, have: SchemaField | None) -> str:
    """What is wrong with a column of the table; nothing where it can be added."""
    if have is None:
        return "missing" if want.mode == "REQUIRED" else ""
    types = _type(have), _type(want)
    if (types[0] != types[1] and types not in _WIDENED) or (have.mode == "REPEATED") != (
        want.mode == "REPEATED"
    ):
        return f"{_shown(have)}, not {_shown(want)}"
    if have.mode == "REQUIRED" and want.mode != "REQUIRED":
        return "REQUIRED, and calls come without it"
    fields = {field.name.lower(): field for field in have.fields}
    problems = _problems(want.fields, fields)
    return f"its fields: {', '.join(problems)}" if problems else ""


def _problems(wanted: Sequence[SchemaField], have: dict[str, SchemaField]) -> list[str]:
    return [
        f"{want.name} {_misfit(want, have[want.name]) if want.name in have else 'missing'}"
        for want in wanted
        if want.name not in have or _misfit(want, have[want.name])
    ]


def _type(field: SchemaField) -> str:
    return _NAMES.get(field.field_type, field.field_type)


def _shown(field: SchemaField) -> str:
    return f"{_type(field)}{' REPEATED' if field.mode == 'REPEATED' else ''}"


def ddl_type(field: SchemaField) -> str:
    """A column's type as DDL spells it."""
    name = _DDL_NAMES.get(_type(field), _type(field))
    if name == "RECORD":
        name = f"STRUCT<{', '.join(f'{f.name} {ddl_type(f)}' for f in field.fields)}>"
    return f"ARRAY<{name}>" if field.mode == "REPEATED" else name
