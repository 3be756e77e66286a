"""The SQL files of ``sql/``, filled in."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined

from airflow_provider_talkpilot.api import Interval
from airflow_provider_talkpilot.bigquery.table_id import TableId
from airflow_provider_talkpilot.staging.rows.columns import (
    AGENTS,
    CALLS,
    PERFORMANCE,
    RECORDING_COLUMNS,
    Source,
    call_columns,
    drift_columns,
)
from airflow_provider_talkpilot.staging.rows.performance import RED_FLAGS

_PERSONAL_PERFORMANCE = [
    column for column in PERFORMANCE if any(each.is_personal for each in (column, *column.fields))
]
"""The columns of a performance record that are personal, or have a personal field."""
_OF_CALL = {"id", "agent_id", "created_at", "duration_seconds", "disconnect_reason", "synced_at"}
QUALITY = [
    column
    for column in PERFORMANCE
    if column.source is Source.LIST
    and column.name not in _OF_CALL
    and column not in _PERSONAL_PERFORMANCE
]
"""The measures of a performance record that the view calls_quality shows."""


def render(
    name: str, *, target: TableId, interval: Interval | None = None, **values: object
) -> str:
    """Fill in one SQL file.

    :param name: file name without ``.sql``.
    :param target: the target table.
    :param interval: bounds on ``created_at``. They become constants, because BigQuery skips
        partitions only by constants.
    :param values: the other names that the file uses; a ``datetime`` becomes a constant too.
    :return: the statement.
    :raises jinja2.UndefinedError: when the file uses a name that has no value.
    """
    if interval:
        values |= {"start": interval.start, "end": interval.end}
    constants = {
        name: _constant(value) if isinstance(value, datetime) else value
        for name, value in values.items()
    }
    return _environment().get_template(f"{name}.sql").render(target=target, **constants)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("airflow_provider_talkpilot.bigquery", "sql"),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701 (checked identifiers and numbers, and no HTML)
    )
    environment.globals |= {
        "key_columns": call_columns(Source.KEY),
        "list_columns": call_columns(Source.LIST),
        "detail_columns": call_columns(Source.DETAIL),
        "list_drift": drift_columns(Source.KEY, Source.LIST),
        "detail_drift": drift_columns(Source.DETAIL),
        "personal_columns": [column for column in CALLS if column.is_personal],
        "recording_columns": list(RECORDING_COLUMNS),
        "agent_columns": [column.name for column in AGENTS],
        "performance_columns": PERFORMANCE,
        "personal_performance_columns": _PERSONAL_PERFORMANCE,
        "quality_columns": QUALITY,
        "red_flags": RED_FLAGS,
    }
    return environment


def _constant(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f+00")
