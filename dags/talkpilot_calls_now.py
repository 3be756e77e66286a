"""Bring the calls of the last hour to BigQuery every 15 minutes, with transcripts by webhook."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.timetables.interval import CronDataIntervalTimetable

from airflow_provider_talkpilot.compat import DAG
from airflow_provider_talkpilot.operators.task_group import TalkPilotCallsTaskGroup

with DAG(
    dag_id="talkpilot_calls_now",
    schedule=CronDataIntervalTimetable("*/15 * * * *", timezone="UTC"),
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    is_paused_upon_creation=True,
    # One at a time. The next run also brings what this one left out.
    max_active_runs=1,
    default_args={
        "retries": 1,
        "retry_delay": timedelta(minutes=2),
        # Below the daily DAG's tasks, if both wait for a slot.
        "priority_weight": 0,
        "weight_rule": "absolute",
    },
    tags=["talkpilot"],
    doc_md=__doc__,
) as dag:
    TalkPilotCallsTaskGroup(
        prefix_group_id=False,
        staging_uri="{{ var.value.talkpilot_staging_uri }}",
        table="{{ var.value.talkpilot_bigquery_table }}",
        location="{{ var.value.get('talkpilot_bigquery_location', '') }}",
        agent_ids="{{ var.value.get('talkpilot_agent_ids', '') }}",
        # TalkPilot lists a call when it has ended, by its start. The daily DAG brings longer ones.
        # A manual run without a date has no interval; extract_calls then says what to do.
        start="{% if data_interval_end is defined %}"
        "{{ data_interval_end - macros.timedelta(hours=1) }}{% endif %}",
        end="{{ data_interval_end | default('') }}",
        # This DAG requests only lists. Transcripts come from webhooks.
        details="by_webhook",
        performance="off",
        columns="{{ var.value.get('talkpilot_columns', '') }}",
        agent_prompts="{{ var.value.get('talkpilot_agent_prompts', '') }}",
        policy_tags="{{ var.value.get('talkpilot_policy_tags', '') }}",
        keep_staged="{{ var.value.get('talkpilot_keep_staged', 'false') }}",
    )
