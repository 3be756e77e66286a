"""The SQL files of ``sql/``, filled in, and how statements are sent."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from typing import Any

from google.cloud.bigquery import QueryJobConfig, ScriptOptions
from jinja2 import Environment, PackageLoader, StrictUndefined

from airflow_provider_talkpilot.api import Interval
from airflow_provider_talkpilot.bigquery.jobs import LABELS
from airflow_provider_talkpilot.bigquery.table_id import TableId
from airflow_provider_talkpilot.staging.columns import (
    AGENTS,
    PERFORMANCE,
    PERSONAL,
    RECORDING,
    Column,
    Is,
    Source,
    drift_columns,
    names,
)
from airflow_provider_talkpilot.staging.rows import RED_FLAGS


def _is_personal(column: Column) -> bool:
    return Is.PERSONAL in column.traits


_PERSONAL_PERFORMANCE = [
    column for column in PERFORMANCE if any(map(_is_personal, (column, *column.fields)))
]
"""Those with something of a person, some with more."""
_OF_CALL = {"id", "agent_id", "created_at", "duration_seconds", "disconnect_reason", "synced_at"}
QUALITY = [
    column
    for column in PERFORMANCE
    if column.source is Source.LIST
    and column.name not in _OF_CALL
    and column not in _PERSONAL_PERFORMANCE
]
"""What the view calls_quality shows of a record: its measures."""


def render(
    name: str,
    *,
    target: TableId,
    interval: Interval | None = None,
    has_performance: bool = False,
    **values: object,
) -> str:
    """Fill in one SQL file.

    :param name: file name without ``.sql``.
    :param target: the target table.
    :param interval: bounds on ``created_at``, written as constants so that only the interval's
        partitions are read.
    :param has_performance: whether there is a table of performance records.
    :param values: what else the file names; moments become constants too. ``has_agents`` says
        whether there is a table of agents.
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
            recording_columns=list(RECORDING),
            performance=target.performance,
            has_performance=has_performance,
            agents=target.agents,
            agent_columns=[column.name for column in AGENTS],
            performance_columns=PERFORMANCE,
            quality_columns=QUALITY,
            red_flags=RED_FLAGS,
            is_personal=_is_personal,
            personal_performance_columns=_PERSONAL_PERFORMANCE,
            **{
                key: _literal(value) if isinstance(value, datetime) else value
                for key, value in {"has_agents": False, **bounds, **values}.items()
            },
        )
    )


def query_config(maximum_bytes_billed: int | None, **options: Any) -> QueryJobConfig:
    """Make the configuration of a statement that reads.

    :param maximum_bytes_billed: a job that would read more fails; None for no such limit.
    :param options: others of its options.
    """
    if maximum_bytes_billed is not None:
        options["maximum_bytes_billed"] = maximum_bytes_billed
        # Of a script, what is documented is the budget of each statement. Source:
        # cloud.google.com/bigquery/docs/reference/rest/v2/Job#ScriptOptions
        budget = ScriptOptions(statement_byte_budget=maximum_bytes_billed)
        options["script_options"] = budget
    return QueryJobConfig(**{"labels": LABELS, **options})


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
