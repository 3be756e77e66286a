"""The target table, the tables beside it and their dataset: created, checked and extended."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from google.api_core.exceptions import NotFound
from google.cloud.bigquery import (
    Client,
    Dataset,
    Table,
    TimePartitioning,
    TimePartitioningType,
)

from airflow_provider_talkpilot.api import Interval
from airflow_provider_talkpilot.bigquery.errors import BigQueryError
from airflow_provider_talkpilot.bigquery.jobs import LABELS, Jobs
from airflow_provider_talkpilot.bigquery.policy_tags import add_missing_tags, tagged
from airflow_provider_talkpilot.bigquery.schema import (
    changes_to,
    labels_of,
    make_table,
    require_table_choices,
    target_schema,
)
from airflow_provider_talkpilot.bigquery.statements import render
from airflow_provider_talkpilot.bigquery.table_id import TableId
from airflow_provider_talkpilot.compat import get_variable
from airflow_provider_talkpilot.staging.manifests import Manifest
from airflow_provider_talkpilot.staging.rows.columns import TABLES, Column

LOCATION_VARIABLE = "talkpilot_bigquery_location"

log = logging.getLogger(__name__)

# The shortest that BigQuery allows: time travel keeps what was purged. A dataset without a setting
# keeps it for a week. Source: cloud.google.com/bigquery/docs/time-travel
TIME_TRAVEL_HOURS = 48
_DEFAULT_TIME_TRAVEL_HOURS = 168
_CLUSTERING = {"calls": ["agent_id", "id"], "performance": ["agent_id", "call_id"]}
_DESCRIPTIONS = {
    "calls": "TalkPilot's calls: one row a call, equal to the API where walked.",
    "performance": "What TalkPilot's quality check wrote of the calls beside: one row a record.",
    "agents": "The agents of TalkPilot's calls, as they are now: one row an agent.",
}


def find_table(client: Client, table: TableId) -> Table | None:
    """Read a table's metadata, which BigQuery does not bill; return None if it is missing."""
    try:
        return client.get_table(str(table))
    except NotFound:
        return None


def check_target(
    client: Client,
    target: TableId,
    location: str | None,
    interval: Interval,
    columns: Mapping[str, str],
) -> None:
    """Refuse an interval that no load could bring into the table. Nothing is created or changed.

    :param client: BigQuery.
    :param target: the table; it and its dataset may be missing.
    :param location: where the dataset must be; None for wherever it is.
    :param interval: what would be loaded.
    :param columns: the choices for columns.
    :raises BigQueryError: when a load would be refused.
    """
    try:
        dataset = client.get_dataset(f"{target.project}.{target.dataset}")
    except NotFound:
        _location_of_new(client, target, location)
        return
    require_location(dataset, location)
    if table := find_table(client, target):
        _changes_for_load(table, "calls", interval, columns)


def ensure_dataset(
    client: Client, target: TableId, location: str | None, *, warn: bool = False
) -> str | None:
    """Create the dataset if it is missing.

    :param client: BigQuery.
    :param target: the table.
    :param location: where the dataset must be; None for where it is. A new one is then where the
        Google connection, or else a Variable, says.
    :param warn: warn of a dataset that keeps deleted data for longer than it must.
    :return: the dataset's location: jobs must run there.
    :raises BigQueryError: when the dataset is elsewhere than ``location``, or nothing says
        where to create it.
    """
    name = f"{target.project}.{target.dataset}"
    try:
        dataset = client.get_dataset(name)
    except NotFound:
        dataset = Dataset(name)
        dataset.location = _location_of_new(client, target, location)
        dataset.max_time_travel_hours = TIME_TRAVEL_HOURS
        dataset.description = "TalkPilot's calls, kept by Airflow."
        dataset.labels = LABELS
        log.info("Creating the dataset %s in %s.", name, dataset.location)
        dataset = client.create_dataset(dataset, exists_ok=True)
    require_location(dataset, location)
    hours = int(dataset.max_time_travel_hours or _DEFAULT_TIME_TRAVEL_HOURS)
    if warn and hours > TIME_TRAVEL_HOURS:
        log.warning(
            "BigQuery's time travel keeps what is purged from the dataset %s for %d hours. The "
            "shortest it can do: ALTER SCHEMA `%s` SET OPTIONS (max_time_travel_hours = %d).",
            target.dataset,
            hours,
            name,
            TIME_TRAVEL_HOURS,
        )
    place: str | None = dataset.location
    return place


def _location_of_new(client: Client, target: TableId, location: str | None) -> str:
    # Without a location Google would take US, and a dataset can never move out of it.
    place = location or client.location or get_variable(LOCATION_VARIABLE)
    if not place or not place.strip():
        raise BigQueryError(
            f"The dataset {target.project}.{target.dataset} does not exist, and nothing says where "
            "to create it; Google would take US. Set the argument location, the field location of "
            f"the Google Cloud connection, or the Variable {LOCATION_VARIABLE}, such as EU."
        )
    return str(place).strip()


def require_location(dataset: Dataset, location: str | None) -> None:
    """Refuse a dataset that is elsewhere than jobs are to run.

    :raises BigQueryError: when it is.
    """
    if location and dataset.location and location.lower() != dataset.location.lower():
        raise BigQueryError(
            f"The dataset {dataset.project}.{dataset.dataset_id} is in {dataset.location}, and "
            f"location is {location}: leave location empty, or name a dataset in {location}."
        )


def ensure_table(
    jobs: Jobs,
    table_id: TableId,
    table_name: str,
    manifest: Manifest,
    policy_tags: Mapping[str, str],
    *,
    warn: bool = False,
) -> Table:
    """Create a table if it is missing; otherwise check it and add what a newer version needs.

    :param jobs: runs the statements that change an older table.
    :param table_id: the table.
    :param table_name: which of ``TABLES`` it is.
    :param manifest: what will be loaded: its interval, and its choices for columns.
    :param policy_tags: a policy tag by column; set where a column has none.
    :param warn: warn of a table that forgets calls, or that costs more than it must.
    :return: the table as BigQuery has it.
    :raises BigQueryError: when it is no table, or its columns, the choices for them, their
        policy tags or its expiration do not fit.
    """
    client, table = jobs.client, find_table(jobs.client, table_id)
    if table is None:
        table = make_table(table_id, tagged(target_schema(table_name), policy_tags))
        table.labels = labels_of(manifest.columns, table_name)
        if clustering := _CLUSTERING.get(table_name):
            table.time_partitioning = TimePartitioning(TimePartitioningType.DAY, field="created_at")
            table.clustering_fields = clustering
        table.description = _DESCRIPTIONS[table_name]
        log.info("Creating the table %s.", table_id)
        # Another load, or a request of ours whose response was lost, may have created it.
        table = _without_expiration(client, client.create_table(table, exists_ok=True))
    changes = _changes_for_load(table, table_name, manifest.interval, manifest.columns)
    if warn:
        _warn_of_expiration(table)
        _warn_of_partitioning(table)
    for statement, column in changes:
        action = statement.replace("_", " ")
        log.info("Changing the table %s: %s %s.", table_id, action, column.name)
        jobs.query(render(statement, target=table_id, column=column))
    if changes:
        table = client.get_table(str(table_id))
    return add_missing_tags(client, table, policy_tags)


def _changes_for_load(
    table: Table, table_name: str, interval: Interval, columns: Mapping[str, str]
) -> list[tuple[str, Column]]:
    """Return the changes that a table needs before a load, see :func:`changes_to`.

    :raises BigQueryError: when no load could bring the interval into it.
    """
    name = _name(table)
    if table.table_type not in (None, "TABLE"):
        raise BigQueryError(
            f"{name} is no table ({table.table_type}). A load changes rows: name a table, or a new "
            "name, and the load creates it."
        )
    changes = changes_to(table, TABLES[table_name])
    require_table_choices(table, columns, table_name)
    kept = _days_kept(table)
    day = interval.start.replace(hour=0, minute=0, second=0, microsecond=0)
    if kept is not None and day + kept <= datetime.now(UTC):
        raise BigQueryError(
            f"The interval {interval} has days that {name} no longer keeps: BigQuery deletes a day "
            f"after {kept / timedelta(days=1):g} days. Choose a later start, or let it keep them: "
            f"ALTER TABLE `{name}` SET OPTIONS (partition_expiration_days = NULL)."
        )
    return changes


def _days_kept(table: Table) -> timedelta | None:
    """Return after which time BigQuery deletes a day's calls; None for never."""
    partitioning = table.time_partitioning
    if not partitioning or not partitioning.expiration_ms:
        return None
    return timedelta(milliseconds=partitioning.expiration_ms)


def _without_expiration(client: Client, table: Table) -> Table:
    """Remove from a new table the expiration that it got from its dataset."""
    if table.expires is None and _days_kept(table) is None:
        return table
    log.info("Taking the dataset's default expiration off the table %s.", table.reference)
    changed, table.expires = ["expires"], None
    if partitioning := table.time_partitioning:
        partitioning.expiration_ms = None
        table.time_partitioning = partitioning
        changed.append("time_partitioning")
    return client.update_table(table, changed)


def _warn_of_expiration(table: Table) -> None:
    deleted, options = [], []
    if table.expires:
        deleted.append(f"on {table.expires:%Y-%m-%d} with all its calls")
        options.append("expiration_timestamp = NULL")
    if kept := _days_kept(table):
        deleted.append(f"day by day, each after {kept / timedelta(days=1):g} days")
        options.append("partition_expiration_days = NULL")
    if deleted:
        log.warning(
            "BigQuery deletes the table %s %s. To keep the calls: ALTER TABLE `%s` SET OPTIONS "
            "(%s).",
            _name(table),
            " and ".join(deleted),
            _name(table),
            ", ".join(options),
        )


def _warn_of_partitioning(table: Table) -> None:
    partitioning = table.time_partitioning
    field, unit = (partitioning.field, partitioning.type_) if partitioning else (None, None)
    if field == "created_at" and unit == "DAY":
        return
    by_created_at = field == "created_at" and unit in ("MONTH", "YEAR")
    log.warning(
        "The table %s is not partitioned by day of created_at, so each statement of a load reads, "
        "and Google bills, %s (the table has %.2f GiB). docs/warehouse.md says how to partition "
        "it.",
        _name(table),
        f"each whole {unit.lower()} that it touches" if by_created_at and unit else "all of it",
        (table.num_bytes or 0) / 2**30,
    )


def _name(table: Table) -> str:
    return f"{table.project}.{table.dataset_id}.{table.table_id}"
