"""What the target table knows: which calls have their detail, and which past days have calls."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime

from google.api_core.exceptions import NotFound
from google.cloud.bigquery import ArrayQueryParameter, Client, Row

from airflow_provider_talkpilot.api import Interval
from airflow_provider_talkpilot.bigquery.jobs import Jobs
from airflow_provider_talkpilot.bigquery.schema import require_table_choices
from airflow_provider_talkpilot.bigquery.statements import render
from airflow_provider_talkpilot.bigquery.table_id import TableId
from airflow_provider_talkpilot.bigquery.target import find_table
from airflow_provider_talkpilot.staging.enrich.plan import KnownDetail

_PAGE_ROWS = 10_000


def known_details(
    client: Client,
    target: TableId,
    interval: Interval,
    columns: Mapping[str, str],
    maximum_bytes_billed: int | None = None,
) -> Iterator[KnownDetail]:
    """Read which calls of an interval have their detail in the table: they need no request.

    :param client: BigQuery.
    :param target: the table; it may be missing still.
    :param interval: which calls, by ``created_at``; only its partitions are read.
    :param columns: the choices for columns, as the calls' manifest recorded them.
    :param maximum_bytes_billed: a query that would read more fails; None for no such limit.
    :return: one entry for every call that has a detail, and for every purged one that has a score.
    :raises BigQueryError: when the table was made under other choices: it could not take
        details that are fetched under these.
    """
    table = find_table(client, target)
    if table is None:
        return
    require_table_choices(table, columns)
    statement = render(
        "known_details",
        target=target,
        interval=interval,
        # The next load adds these columns to a table of an older version.
        has_recordings=any(field.name == "recording_status" for field in table.schema),
    )
    for row in _rows(client, target, statement, maximum_bytes_billed):
        yield KnownDetail(
            row["id"],
            row["detail_updated_at"],
            row["requested_at"],
            row["scored"],
            row["transcribed"],
            recording_known=row["recording_known"],
            loaded=True,
            archived=row["archived"],
        )


def earliest_call(
    client: Client, target: TableId, end: date, maximum_bytes_billed: int | None = None
) -> datetime | None:
    """Read when the table's first call before a day started.

    :param client: BigQuery.
    :param target: the table; it may be missing still.
    :param end: the UTC day.
    :param maximum_bytes_billed: as in :func:`known_details`.
    :return: the call's ``created_at``; None if the table has no such call.
    """
    try:
        statement = render("earliest_call", target=target, end=end)
        [row] = _rows(client, target, statement, maximum_bytes_billed)
    except NotFound:
        return None
    earliest: datetime | None = row["earliest"]
    return earliest


def unpurged_days(
    client: Client,
    target: TableId,
    due: Mapping[Interval, Sequence[str]],
    maximum_bytes_billed: int | None = None,
) -> Iterator[tuple[str, date]]:
    """Read the agents and days of which the table has calls that are neither purged nor erased.

    :param client: BigQuery.
    :param target: the table, which must exist.
    :param due: ids of agents by interval of whole UTC days, at least one; only their partitions are
        read.
    :param maximum_bytes_billed: as in :func:`known_details`.
    :return: agent id and UTC day, oldest first.
    """
    statement = render("unpurged_days", target=target, intervals=list(due))
    parameters = [
        ArrayQueryParameter(f"agents_{number}", "STRING", list(ids))
        for number, ids in enumerate(due.values())
    ]
    for row in _rows(client, target, statement, maximum_bytes_billed, parameters):
        yield row["agent_id"], row["day"]


def _rows(
    client: Client,
    target: TableId,
    statement: str,
    maximum_bytes_billed: int | None,
    parameters: Sequence[ArrayQueryParameter] = (),
) -> Iterator[Row]:
    location = client.get_table(str(target)).location
    jobs = Jobs(client, location, maximum_bytes_billed=maximum_bytes_billed)
    yield from jobs.query(statement, parameters).result(page_size=_PAGE_ROWS)
