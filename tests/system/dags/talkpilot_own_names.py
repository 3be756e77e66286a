"""The shipped DAG's tasks under other names, by operators of a user's own."""

from __future__ import annotations

from datetime import UTC, datetime

from airflow.providers.common.compat.sdk import DAG
from airflow.timetables.interval import CronDataIntervalTimetable

from airflow_provider_talkpilot.operators.bigquery import TalkPilotLoadCallsOperator
from airflow_provider_talkpilot.operators.calls import (
    TalkPilotEnrichCallsOperator,
    TalkPilotExtractCallsOperator,
)

TABLE = "{{ var.value.talkpilot_bigquery_table }}"


class Pull(TalkPilotExtractCallsOperator):
    """A user's own."""


class Deepen(TalkPilotEnrichCallsOperator):
    """A user's own."""


class Put(TalkPilotLoadCallsOperator):
    """A user's own."""


with DAG(
    "talkpilot_own_names",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    schedule=CronDataIntervalTimetable("@daily", timezone="UTC"),
    catchup=False,
):
    pulled = Pull(task_id="pull", staging_uri="{{ var.value.talkpilot_staging_uri }}")
    deeper = Deepen(task_id="deepen", manifest_uri=pulled.output, table=TABLE)
    put = Put(task_id="put", manifest_uri=pulled.output, table=TABLE)
    put >> Put(task_id="put_deeper", manifest_uri=deeper.output, table=TABLE)
