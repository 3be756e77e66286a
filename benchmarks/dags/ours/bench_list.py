"""One task that stages a day's list."""

from __future__ import annotations

from datetime import UTC, datetime

from airflow.providers.common.compat.sdk import DAG
from airflow.timetables.interval import CronDataIntervalTimetable

from airflow_provider_talkpilot.operators.calls import TalkPilotExtractCallsOperator

with DAG(
    dag_id="bench_list",
    schedule=CronDataIntervalTimetable("@daily", timezone="UTC"),
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
):
    TalkPilotExtractCallsOperator(
        task_id="list", staging_uri="{{ conn.bench_files.extra_dejson.path }}"
    )
