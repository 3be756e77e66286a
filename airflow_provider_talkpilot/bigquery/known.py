"""Which details the warehouse has already, so that no request is spent on them again."""

from __future__ import annotations

from collections.abc import Iterator

from google.api_core.exceptions import NotFound
from google.cloud.bigquery import Client

from airflow_provider_talkpilot.api import Interval
from airflow_provider_talkpilot.bigquery.statements import render
from airflow_provider_talkpilot.bigquery.table_id import TableId
from airflow_provider_talkpilot.staging.plan import Known

_PAGE_ROWS = 10_000


def known_details(client: Client, target: TableId, interval: Interval) -> Iterator[Known]:
    """Ask the target for the details of an interval, by one query of its partitions.

    :param client: BigQuery.
    :param target: the table; none is needed yet.
    :param interval: which calls, by ``created_at``.
    :return: one entry for every call that has a detail.
    """
    try:
        location = client.get_table(str(target)).location
    except NotFound:
        return
    statement = render("known_details", target=target, interval=interval)
    job = client.query(statement, location=location)
    for row in job.result(page_size=_PAGE_ROWS):
        yield Known(row["id"], row["detail_updated_at"], row["detail_synced_at"], row["scored"])
