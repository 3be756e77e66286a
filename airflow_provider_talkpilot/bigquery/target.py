"""The target table and its dataset: created where they are missing, else checked and extended."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from google.api_core.exceptions import Conflict, NotFound
from google.cloud.bigquery import (
    Client,
    Dataset,
    Table,
    TimePartitioning,
    TimePartitioningType,
)

from airflow_provider_talkpilot.bigquery.choices import labels_of, require_same_choices
from airflow_provider_talkpilot.bigquery.errors import BigQueryLoadError
from airflow_provider_talkpilot.bigquery.evolution import lacking_columns, narrow_columns
from airflow_provider_talkpilot.bigquery.jobs import Jobs
from airflow_provider_talkpilot.bigquery.policy_tags import add_missing_tags, tagged
from airflow_provider_talkpilot.bigquery.schema import target_schema
from airflow_provider_talkpilot.bigquery.statements import render
from airflow_provider_talkpilot.bigquery.table_id import TableId
from airflow_provider_talkpilot.staging.columns import Column

log = logging.getLogger(__name__)

# The shortest that BigQuery allows: time travel keeps what was purged. Where a dataset says
# nothing, it is a week. Source: cloud.google.com/bigquery/docs/time-travel
TIME_TRAVEL_HOURS = 48
_DEFAULT_TIME_TRAVEL_HOURS = 168


def ensure_dataset(
    client: Client, target: TableId, location: str | None, *, warn: bool = False
) -> str | None:
    """Create the dataset where it is missing.

    :param client: BigQuery.
    :param target: the table.
    :param location: where jobs are to run; None for where the dataset is.
    :param warn: warn of a dataset that keeps deleted data for longer than it must.
    :return: the dataset's location: jobs must run there.
    :raises BigQueryLoadError: when the dataset is elsewhere than ``location``.
    """
    name = f"{target.project}.{target.dataset}"
    try:
        dataset = client.get_dataset(name)
    except NotFound:
        log.info("Creating the dataset %s.", name)
        dataset = Dataset(name)
        if location:
            dataset.location = location
        dataset.max_time_travel_hours = TIME_TRAVEL_HOURS
        dataset.description = "TalkPilot's calls, kept by Airflow."
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
    found: str | None = dataset.location
    return found


def require_location(dataset: Dataset, location: str | None) -> None:
    """Refuse a dataset that is elsewhere than jobs are to run.

    :raises BigQueryLoadError: when it is.
    """
    if location and dataset.location and location.lower() != dataset.location.lower():
        raise BigQueryLoadError(
            f"The dataset {dataset.project}.{dataset.dataset_id} is in {dataset.location}, and "
            f"location is {location}: leave location empty, or name a dataset in {location}."
        )


def ensure_table(
    client: Client,
    jobs: Jobs,
    target: TableId,
    columns: Mapping[str, str],
    policy_tags: Mapping[str, str],
) -> None:
    """Create the table where it is missing; add or widen columns of an older table.

    Columns, labels and options of the users' own stay as they are.

    :param client: BigQuery.
    :param jobs: runs the statements.
    :param target: the table.
    :param columns: what the manifest recorded of the choices for columns.
    :param policy_tags: a policy tag by column; set where a column has none.
    :raises BigQueryLoadError: when the table's columns, the choices for them, or their policy tags
        do not fit.
    """
    try:
        table = client.get_table(str(target))
    except NotFound:
        table = Table(str(target), schema=tagged(target_schema(), policy_tags))
        table.labels = labels_of(columns)
        table.time_partitioning = TimePartitioning(TimePartitioningType.DAY, field="created_at")
        table.clustering_fields = ["agent_id", "id"]
        table.description = "TalkPilot's calls: one row a call, equal to the API where walked."
        log.info("Creating the table %s.", target)
        try:
            client.create_table(table)
        except Conflict:  # another task was faster
            table = client.get_table(str(target))
        else:
            return
    lacking = lacking_columns(table)
    require_same_choices(table, columns)
    for column in lacking:
        log.info("Adding the column %s to the table %s.", column.name, target)
        jobs.query(render("add_column", target=target, column=column))
    for column in narrow_columns(table):
        _widen(client, jobs, target, column)
    if policy_tags:
        add_missing_tags(client, client.get_table(str(target)), policy_tags)


def _widen(client: Client, jobs: Jobs, target: TableId, column: Column) -> None:
    log.info("Widening the column %s of the table %s.", column.name, target)
    statement = render("widen_column", target=target, column=column)
    try:
        jobs.query(statement)
    except BigQueryLoadError:
        # Another load may have done it at the same moment.
        left = narrow_columns(client.get_table(str(target)))
        if column.name in [other.name for other in left]:
            raise
