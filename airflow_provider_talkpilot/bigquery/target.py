"""The target table and its dataset: made as documented where they are missing."""

from __future__ import annotations

import logging
from contextlib import suppress

from google.api_core.exceptions import Conflict, NotFound
from google.cloud.bigquery import Client, Dataset, Table, TimePartitioning, TimePartitioningType

from airflow_provider_talkpilot.bigquery.errors import BigQueryLoadError
from airflow_provider_talkpilot.bigquery.schema import target_schema
from airflow_provider_talkpilot.bigquery.table_id import TableId

log = logging.getLogger(__name__)

# The shortest that BigQuery allows: time travel keeps what was purged.
TIME_TRAVEL_HOURS = 48


def ensure_target(client: Client, target: TableId, location: str | None) -> str | None:
    """Create dataset and table where they are missing.

    :param client: BigQuery.
    :param target: the table.
    :param location: where jobs are to run; None for wherever the dataset is.
    :return: the dataset's location: jobs must run there.
    :raises BigQueryLoadError: when the dataset is elsewhere than ``location``, or the table's
        columns do not fit.
    """
    found = _ensure_dataset(client, target, location)
    if location and found and location.lower() != found.lower():
        raise BigQueryLoadError(
            f"The dataset {target.project}.{target.dataset} is in {found}, and location is "
            f"{location}: leave location empty, or name a dataset in {location}."
        )
    _ensure_table(client, target)
    return found


def _ensure_dataset(client: Client, target: TableId, location: str | None) -> str | None:
    name = f"{target.project}.{target.dataset}"
    try:
        return client.get_dataset(name).location  # type: ignore[no-any-return]
    except NotFound:
        dataset = Dataset(name)
        if location:
            dataset.location = location
        dataset.max_time_travel_hours = TIME_TRAVEL_HOURS
        dataset.description = "TalkPilot's calls, kept by Airflow."
        log.info("Creating the dataset %s.", name)
        return client.create_dataset(dataset, exists_ok=True).location  # type: ignore[no-any-return]


def _ensure_table(client: Client, target: TableId) -> None:
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
    have = {field.name: field for field in table.schema}
    wrong = [
        f"{want.name} ({have[want.name].field_type if want.name in have else 'missing'}, "
        f"not {want.field_type})"
        for want in target_schema()
        if want.name not in have or _type(have[want.name].field_type) != _type(want.field_type)
    ]
    if wrong:
        raise BigQueryLoadError(
            f"The table {target} does not have the columns it needs: {', '.join(wrong)}. Name "
            "another table, or rename this one and let the load create it anew."
        )


def _type(name: str) -> str:
    """Standard and legacy SQL have two names for some types."""
    return {"INT64": "INTEGER", "BOOL": "BOOLEAN", "STRUCT": "RECORD"}.get(name, name)
