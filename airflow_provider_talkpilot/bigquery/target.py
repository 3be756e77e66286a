"""The target table and its dataset: made where they are missing, checked and grown where not."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import suppress

from google.api_core.exceptions import Conflict, NotFound
from google.cloud.bigquery import (
    Client,
    Dataset,
    SchemaField,
    Table,
    TimePartitioning,
    TimePartitioningType,
)

from airflow_provider_talkpilot.bigquery.errors import BigQueryLoadError
from airflow_provider_talkpilot.bigquery.jobs import finished
from airflow_provider_talkpilot.bigquery.schema import target_schema
from airflow_provider_talkpilot.bigquery.statements import render
from airflow_provider_talkpilot.bigquery.table_id import TableId

log = logging.getLogger(__name__)

# The shortest that BigQuery allows: time travel keeps what was purged. Where a dataset says
# nothing, it is a week. Source: cloud.google.com/bigquery/docs/time-travel
TIME_TRAVEL_HOURS = 48
_DEFAULT_TIME_TRAVEL_HOURS = 168
# Standard and legacy SQL have two names for some types.
_NAMES = {"INT64": "INTEGER", "BOOL": "BOOLEAN", "STRUCT": "RECORD"}


def ensure_target(
    client: Client, target: TableId, location: str | None, *, warn: bool = False
) -> str | None:
    """Create dataset and table where they are missing; add columns that the table lacks.

    Columns, labels and options of the users' own stay as they are.

    :param client: BigQuery.
    :param target: the table.
    :param location: where jobs are to run; None for wherever the dataset is.
    :param warn: say so where the dataset keeps what was deleted for longer than it must.
    :return: the dataset's location: jobs must run there.
    :raises BigQueryLoadError: when the dataset is elsewhere than ``location``, or the table's
        columns do not fit.
    """
    dataset = _ensure_dataset(client, target, location)
    found: str | None = dataset.location
    if location and found and location.lower() != found.lower():
        raise BigQueryLoadError(
            f"The dataset {target.project}.{target.dataset} is in {found}, and location is "
            f"{location}: leave location empty, or name a dataset in {location}."
        )
    if warn:
        _warn_of_time_travel(dataset)
    _ensure_table(client, target, found)
    return found


def _ensure_dataset(client: Client, target: TableId, location: str | None) -> Dataset:
    name = f"{target.project}.{target.dataset}"
    try:
        return client.get_dataset(name)
    except NotFound:
        dataset = Dataset(name)
        if location:
            dataset.location = location
        dataset.max_time_travel_hours = TIME_TRAVEL_HOURS
        dataset.description = "TalkPilot's calls, kept by Airflow."
        log.info("Creating the dataset %s.", name)
        return client.create_dataset(dataset, exists_ok=True)


def _warn_of_time_travel(dataset: Dataset) -> None:
    hours = int(dataset.max_time_travel_hours or _DEFAULT_TIME_TRAVEL_HOURS)
    if hours > TIME_TRAVEL_HOURS:
        log.warning(
            "BigQuery's time travel keeps what is purged from the dataset %s for %d hours. The "
            "shortest it can do: ALTER SCHEMA `%s.%s` SET OPTIONS (max_time_travel_hours = %d).",
            dataset.dataset_id,
            hours,
            dataset.project,
            dataset.dataset_id,
            TIME_TRAVEL_HOURS,
        )


def _ensure_table(client: Client, target: TableId, location: str | None) -> None:
    try:
        table = client.get_table(str(target))
    except NotFound:
        table = Table(str(target), schema=target_schema())
        table.time_partitioning = TimePartitioning(TimePartitioningType.DAY, field="created_at")
        table.clustering_fields = ["agent_id", "id"]
        table.description = "TalkPilot's calls: one row a call, equal to the API where walked."
        log.info("Creating the table %s.", target)
        with suppress(Conflict):  # another task was faster
            client.create_table(table)
            return
    _add_columns(client, target, location)


def _add_columns(client: Client, target: TableId, location: str | None) -> None:
    """Bring an older version's table up to this one."""
    for field in _lacking(client.get_table(str(target))):
        log.info("Adding the column %s to the table %s.", field.name, target)
        statement = render("add_column", target=target, column=field, column_type=_ddl_type(field))
        finished(client.query(statement, location=location))


def _lacking(table: Table) -> list[SchemaField]:
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


def _misfit(want: SchemaField, have: SchemaField | None) -> str:
    """What is wrong with a column of the table; nothing where it can be added."""
    if have is None:
        return "missing" if want.mode == "REQUIRED" else ""
    if _type(have) != _type(want) or (have.mode == "REPEATED") != (want.mode == "REPEATED"):
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


def _ddl_type(field: SchemaField) -> str:
    """A column's type as DDL spells it."""
    name = _type(field)
    if name == "RECORD":
        name = f"STRUCT<{', '.join(f'{f.name} {_ddl_type(f)}' for f in field.fields)}>"
    return f"ARRAY<{name}>" if field.mode == "REPEATED" else name
