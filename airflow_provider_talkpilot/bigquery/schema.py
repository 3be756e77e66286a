"""The columns of our tables as BigQuery has them: schemas, labels of choices, and what fits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from google.cloud.bigquery import SchemaField, Table

from airflow_provider_talkpilot.bigquery.errors import BigQueryError
from airflow_provider_talkpilot.bigquery.table_id import TableId
from airflow_provider_talkpilot.staging.rows.choices import KEEP
from airflow_provider_talkpilot.staging.rows.columns import TABLES, Column, staging_columns

# BigQuery's API has other names for some types than its SQL.
_API_TYPES = {"INT64": "INTEGER", "FLOAT64": "FLOAT", "BOOL": "BOOLEAN", "STRUCT": "RECORD"}
# Types that BigQuery changes in place, from and to. Source:
# cloud.google.com/bigquery/docs/managing-table-schemas#change_column_data_type
_WIDENED = {("INTEGER", "FLOAT")}
_LABEL = "talkpilot-"


def target_schema(table_name: str = "calls") -> list[SchemaField]:
    """Return the schema of one of ``TABLES``: the target, or a table beside it."""
    return [_field(column) for column in TABLES[table_name]]


def staging_schema(kind: str) -> list[SchemaField]:
    """Return the schema of the staging table for parts of a kind."""
    return [_field(column) for column in staging_columns(kind)]


def make_table(table_id: TableId, schema: Sequence[SchemaField]) -> Table:
    """Describe a new table, which compares texts by their case.

    Otherwise it would inherit a collation from its dataset, and BigQuery clusters no table by a
    column with a collation. Source:
    cloud.google.com/bigquery/docs/reference/standard-sql/collation-concepts#limitations
    """
    table = Table(str(table_id), schema=schema).to_api_repr()
    return Table.from_api_repr({**table, "defaultCollation": ""})


def labels_of(columns: Mapping[str, str], table_name: str = "calls") -> dict[str, str]:
    """Return the labels of a table that is made under these choices for columns.

    :param columns: the choices, as a manifest recorded them.
    :param table_name: which of ``TABLES`` it is.
    """
    names = _droppable(table_name)
    return {f"{_LABEL}{name}": choice for name, choice in columns.items() if name in names}


def require_table_choices(
    table: Table, columns: Mapping[str, str], table_name: str = "calls"
) -> None:
    """Refuse rows that were staged under other choices than the table was made with.

    :param table: as BigQuery has it; a table without our labels keeps every column.
    :param columns: the choices, as a manifest recorded them.
    :param table_name: which of ``TABLES`` it is.
    :raises BigQueryError: when a choice differs.
    """
    labels = table.labels or {}
    differences = [
        f"{name} ({made} there, {chosen} now)"
        for name in _droppable(table_name)
        if (made := labels.get(f"{_LABEL}{name}", KEEP)) != (chosen := columns.get(name, KEEP))
    ]
    if differences:
        raise BigQueryError(
            f"The table {table.project}.{table.dataset_id}.{table.table_id} was made with other "
            f"choices for its columns: {', '.join(differences)}. Nothing was loaded. Set columns "
            "(for the shipped DAGs the Variable talkpilot_columns) and the secret back, or migrate "
            "the table first: docs/privacy-columns.md says how."
        )


def changes_to(table: Table, columns: Sequence[Column]) -> list[tuple[str, Column]]:
    """Find the changes that give a table of an older version the columns that it needs.

    :param table: as BigQuery has it.
    :param columns: the columns that it needs.
    :return: names of statements, each with the column that it adds or widens.
    :raises BigQueryError: when a column has another type, or cannot be filled or added.
    """
    fields = _by_name(table.schema)
    problems = [(column.name, _problem_with(fields.get(column.name), column)) for column in columns]
    ours = {column.name for column in columns}
    problems += [
        (name, "REQUIRED, and nothing fills it")
        for name, field in fields.items()
        if name not in ours and field.mode == "REQUIRED"
    ]
    if wrong := [f"{name} ({problem})" for name, problem in problems if problem]:
        raise BigQueryError(
            f"The table {table.full_table_id or table.table_id} does not have the columns it "
            f"needs: {', '.join(wrong)}. Name another table, or rename this one and let the load "
            "create it anew."
        )
    changes = [("add_column", column) for column in columns if column.name not in fields]
    for column in columns:
        field = fields.get(column.name)
        if field and (_type_of(field), _type_of(_field(column))) in _WIDENED:
            changes.append(("widen_column", column))
    return changes


def _problem_with(field: SchemaField | None, column: Column) -> str:
    """Describe why a field of the table cannot be our column; empty if it fits or can be added."""
    if field is None:
        return "missing" if column.mode == "REQUIRED" else ""
    found, wanted = _type_of(field), _type_of(_field(column))
    if found != wanted and (found, wanted) not in _WIDENED:
        return f"{found}, not {wanted}"
    if field.mode == "REQUIRED" and column.mode != "REQUIRED":
        return "REQUIRED, and calls come without it"
    inner = _by_name(field.fields)
    problems = [
        f"{part.name} {problem}"
        for part in column.fields
        if (problem := _problem_with(inner[part.name], part) if part.name in inner else "missing")
    ]
    # To BigQuery the order of a STRUCT's fields is part of its type.
    if not problems and [*inner] != [part.name for part in column.fields]:
        order = ", ".join(part.name for part in column.fields)
        problems = [f"{', '.join(inner)}, not {order}, in this order"]
    return f"its fields: {', '.join(problems)}" if problems else ""


def _field(column: Column) -> SchemaField:
    return SchemaField(
        column.name,
        _API_TYPES.get(column.type, column.type),
        column.mode,
        description=column.description,
        fields=[_field(field) for field in column.fields],
    )


def _by_name(fields: list[SchemaField] | tuple[SchemaField, ...]) -> dict[str, SchemaField]:
    """Return fields by name in lower case: to BigQuery, names of columns have no case."""
    return {field.name.lower(): field for field in fields}


def _type_of(field: SchemaField) -> str:
    name = _API_TYPES.get(field.field_type, field.field_type)
    return f"{name}{' REPEATED' if field.mode == 'REPEATED' else ''}"


def _droppable(table_name: str) -> list[str]:
    return [column.name for column in TABLES[table_name] if column.is_droppable]
