"""What the table has of past days: a re-sync reads again what it has, and loads no history."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, datetime
from typing import Protocol

from google.api_core.exceptions import NotFound
from google.cloud.bigquery import ArrayQueryParameter, Client, QueryJobConfig

from airflow_provider_talkpilot.bigquery.jobs import LABELS
from airflow_provider_talkpilot.bigquery.statements import render
from airflow_provider_talkpilot.bigquery.table_id import TableId


class AgentsDays(Protocol):
    """Whole UTC days of some agents."""

    @property
    def first(self) -> date:
        """The first day."""

    @property
    def end(self) -> date:
        """The day after the last."""

    @property
    def agents(self) -> Sequence[str]:
        """The agents' ids."""


def earliest_call(client: Client, target: TableId, end: date) -> datetime | None:
    """Ask the target for its first call before a day.

    :param client: BigQuery.
    :param target: the table; none is needed yet.
    :param end: the UTC day.
    :return: the call's ``created_at``; None where there is no such call.
    """
    try:
        location = client.get_table(str(target)).location
    except NotFound:
        return None
    job = client.query(render("earliest_call", target=target, end=end), location=location)
    [row] = job.result()
    earliest: datetime | None = row["earliest"]
    return earliest


def unpurged_days(
    client: Client, target: TableId, windows: Sequence[AgentsDays]
) -> Iterator[tuple[str, date]]:
    """Find the agents and days of which the target has calls that are neither purged nor erased.

    One query, of the windows' partitions.

    :param client: BigQuery.
    :param target: the table, which must be there.
    :param windows: which days of which agents; at least one.
    :return: agent id and UTC day, oldest first.
    """
    config = QueryJobConfig(
        labels=LABELS,
        query_parameters=[
            ArrayQueryParameter(f"agents_{number}", "STRING", list(window.agents))
            for number, window in enumerate(windows)
        ],
    )
    statement = render("unpurged_days", target=target, windows=windows)
    location = client.get_table(str(target)).location
    for row in client.query(statement, location=location, job_config=config).result():
        yield row["agent_id"], row["day"]
