"""The choices for columns, as the target table's labels: made with it, compared at every load."""

from __future__ import annotations

from collections.abc import Mapping

from google.cloud.bigquery import Table

from airflow_provider_talkpilot.bigquery.errors import BigQueryLoadError
from airflow_provider_talkpilot.staging.choices import KEEP
from airflow_provider_talkpilot.staging.columns import TABLES, droppable

_PREFIX = "talkpilot-"


def labels_of(columns: Mapping[str, str], table: str = "") -> dict[str, str]:
    """Labels of a table that is made under these choices.

    :param columns: what a manifest recorded.
    :param table: which one, see ``TABLES``.
    """
    names = droppable(TABLES[table])
    return {f"{_PREFIX}{name}": choice for name, choice in columns.items() if name in names}


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
        for name in droppable(TABLES[kind])
        if (there := labels.get(f"{_PREFIX}{name}", KEEP)) != (here := columns.get(name, KEEP))
    ]
    if differences:
        raise BigQueryLoadError(
            f"The table {table.project}.{table.dataset_id}.{table.table_id} was made with other "
            f"choices for its columns: {', '.join(differences)}. Nothing was loaded. Set columns "
            "(for the shipped DAGs the Variable talkpilot_columns) and the secret back, or migrate "
            "the table first: docs/privacy-columns.md says how."
        )
