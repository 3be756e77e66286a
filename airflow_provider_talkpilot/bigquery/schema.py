"""The columns of our tables as BigQuery has them: schemas, labels of choices, and what fits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from google.cloud.bigquery import SchemaField, Table

from airflow_provider_talkpilot.bigquery.errors import BigQueryLoadError
from airflow_provider_talkpilot.staging.choices import KEEP
from airflow_provider_talkpilot.staging.columns import TABLES, Column, staging_columns

# BigQuery's API has other names for some types than its SQL.
_API_TYPES = {"INT64": "INTEGER", "FLOAT64": "FLOAT", "BOOL": "BOOLEAN", "STRUCT": "RECORD"}
# Types that BigQuery changes in place, from and to. Source:
# cloud.google.com/bigquery/docs/managing-table-schemas#change_column_data_type
_WIDENED = {("INTEGER", "FLOAT")}
_LABEL = "talkpilot-"


def target_schema(table: str = "") -> list[SchemaField]:
    """Schema of the target table, or of one beside it (see ``TABLES``)."""
    return [_field(column) for column in TABLES[table]]


def staging_schema(kind: str) -> list[SchemaField]:
    """Schema of the staging table for parts of a kind."""
    return [_field(column) for column in staging_columns(kind)]


def labels_of(columns: Mapping[str, str], table: str = "") -> dict[str, str]:
    """Labels of a table that is made under these choices for columns.

    :param columns: what a manifest recorded.
    :param table: which one, see ``TABLES``.
    """
    names = _droppable(table)
    return {f"{_LABEL}{name}": choice for name, choice in columns.items() if name in names}


def require_same_choices(table: Table, columns: Mapping[str, str], kind: str = "") -> None:
    """Refuse rows that were staged under other choices than the table was made with.

    :param table: as BigQuery has it; without our labels it keeps every column.
    :param columns: what a manifest recorded.
    :param kind: which table it is, see ``TABLES``.
    :raises BigQueryLoadError: when a choice differs.
    """
    labels = table.labels or {}
    differences = [
        f"{name} ({there} there, {here} now)"
        for name in _droppable(kind)
        if (there := labels.get(f"{_LABEL}{name}", KEEP)) != (here := columns.get(name, KEEP))
    ]
    if differences:
        raise BigQueryLoadError(
            f"The table {table.project}.{table.dataset_id}.{table.table_id} was made with other "
            f"choices for its columns: {', '.join(differences)}. Nothing was loaded. Set columns "
            "(for the shipped DAGs the Variable talkpilot_columns) and the secret back, or migrate "
            "the table first: docs/privacy-columns.md says how."
        )


def changes_to(table: Table, columns: Sequence[Column]) -> list[tuple[str, Column]]:
    """Say what to do to a table of another version, so that it has the columns that it needs.

    :param table: as BigQuery has it.
    :param columns: those that it needs.
    :return: names of statements, each with the column that it adds or widens.
    :raises BigQueryLoadError: when that is not enough.
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
    changes = [("add_column", column) for column in columns if column.name not in have]
    for column in columns:
        field = have.get(column.name)
        if field and (_shown(field), _shown(_field(column))) in _WIDENED:
            changes.append(("widen_column", column))
    return changes


def _misfit(column: Column, field: SchemaField | None) -> str:
    """Say what is wrong with a column of the table; nothing where it fits or can be added."""
    if field is None:
        return "missing" if column.mode == "REQUIRED" else ""
    has, wants = _shown(field), _shown(_field(column))
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


def _field(column: Column) -> SchemaField:
    return SchemaField(
        column.name,
        _API_TYPES.get(column.type, column.type),
        column.mode,
        description=column.description,
        fields=[_field(field) for field in column.fields],
    )


def _by_name(fields: list[SchemaField] | tuple[SchemaField, ...]) -> dict[str, SchemaField]:
    """Fields by name; BigQuery does not tell names of columns apart by case."""
    return {field.name.lower(): field for field in fields}


def _shown(field: SchemaField) -> str:
    kind = _API_TYPES.get(field.field_type, field.field_type)
    return f"{kind}{' REPEATED' if field.mode == 'REPEATED' else ''}"


def _droppable(table: str) -> list[str]:
    return [column.name for column in TABLES[table] if column.is_droppable]
