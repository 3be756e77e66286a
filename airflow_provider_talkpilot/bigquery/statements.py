"""The SQL files of ``sql/``, filled in."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined

from airflow_provider_talkpilot.api import Interval
from airflow_provider_talkpilot.bigquery.table_id import TableId
from airflow_provider_talkpilot.staging.columns import PERSONAL, Source, drift_columns, names


def render(
    name: str, *, target: TableId, interval: Interval | None = None, **values: object
) -> str:
    """Fill in one SQL file.

    :param name: file name without ``.sql``.
    :param target: the target table.
    :param interval: bounds on ``created_at``, written as constants so that only the interval's
        partitions are read.
    :param values: what else the file names; moments become constants too.
    :return: the statement.
    """
    bounds = {"start": interval.start, "end": interval.end} if interval else {}
    return (
        _environment()
        .get_template(f"{name}.sql")
        .render(
            target=target,
            key_columns=names(Source.KEY),
            list_columns=names(Source.LIST),
            detail_columns=names(Source.DETAIL),
            list_drift=drift_columns(Source.KEY, Source.LIST),
            detail_drift=drift_columns(Source.DETAIL),
            personal_columns=PERSONAL,
            **{
                key: _literal(value) if isinstance(value, datetime) else value
                for key, value in {**bounds, **values}.items()
            },
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
