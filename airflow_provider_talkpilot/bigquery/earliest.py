"""How far back the warehouse reaches: a re-sync reads again what is there, and loads no history."""

from __future__ import annotations

from datetime import datetime

from google.api_core.exceptions import NotFound
from google.cloud.bigquery import Client

from airflow_provider_talkpilot.api import Interval
from airflow_provider_talkpilot.bigquery.statements import render
from airflow_provider_talkpilot.bigquery.table_id import TableId


def earliest_call(client: Client, target: TableId, interval: Interval) -> datetime | None:
    """Ask the target for its first call before the end of an interval.

    :param client: BigQuery.
    :param target: the table; none is needed yet.
    :param interval: the interval.
    :return: the call's ``created_at``; None where there is no such call.
    """
    try:
        location = client.get_table(str(target)).location
    except NotFound:
        return None
    job = client.query(render("earliest_call", target=target, interval=interval), location=location)
    [row] = job.result()
    earliest: datetime | None = row["earliest"]
    return earliest
