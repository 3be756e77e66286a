"""Which details the warehouse has already, so that no request is spent on them again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from google.api_core.exceptions import NotFound
from google.cloud.bigquery import Client

from airflow_provider_talkpilot.api import Interval
from airflow_provider_talkpilot.bigquery.choices import require_same_choices
from airflow_provider_talkpilot.bigquery.statements import render
from airflow_provider_talkpilot.bigquery.table_id import TableId
from airflow_provider_talkpilot.staging.plan import Known

_PAGE_ROWS = 10_000


def known_details(
    client: Client, target: TableId, interval: Interval, columns: Mapping[str, str]
) -> Iterator[Known]:
    """Ask the target for the details of an interval, by one query of its partitions.

    :param client: BigQuery.
    :param target: the table; none is needed yet.
    :param interval: which calls, by ``created_at``.
    :param columns: what the calls' manifest recorded of the choices for columns.
    :return: one entry for every call that has a detail.
    :raises BigQueryLoadError: when the table was made under other choices: what would be asked for
        could not be loaded.
    """
    try:
        table = client.get_table(str(target))
    except NotFound:
        return
    require_same_choices(table, columns)
    statement = render("known_details", target=target, interval=interval)
    job = client.query(statement, location=table.location)
    for row in job.result(page_size=_PAGE_ROWS):
        yield Known(
            row["id"], row["detail_updated_at"], row["detail_synced_at"], row["scored"], True
        )
