"""The SQL files of ``sql/``, filled in."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined

from airflow_provider_talkpilot.api import Interval
from airflow_provider_talkpilot.bigquery.schema import Source, names
from airflow_provider_talkpilot.bigquery.table_id import TableId


def render(
    name: str, *, target: TableId, interval: Interval, staging: TableId | None = None
) -> str:
    """Fill in one SQL file.

    :param name: file name without ``.sql``.
    :param target: the target table.
    :param interval: bounds on ``created_at``, written as constants so that only the interval's
        partitions are read.
    :param staging: the staging table, where the statement needs one.
    :return: the statement.
    """
    return (
        _environment()
        .get_template(f"{name}.sql")
        .render(
            target=target,
            staging=staging,
            start=_literal(interval.start),
            end=_literal(interval.end),
            key_columns=names(Source.KEY),
            list_columns=names(Source.LIST),
            detail_columns=names(Source.DETAIL),
        )
    )


@cache
def _environment() -> Environment:
    return Environment(  # the values are checked identifiers and numbers, and this is no HTML
        loader=PackageLoader("airflow_provider_talkpilot.bigquery", "sql"),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701
    )


def _literal(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f+00")
