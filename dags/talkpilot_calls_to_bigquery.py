"""Bring each day of TalkPilot calls to BigQuery, complete and once."""

from __future__ import annotations

from datetime import timedelta

import pendulum
from airflow.timetables.interval import CronDataIntervalTimetable

from airflow_provider_talkpilot.compat import DAG, Param
from airflow_provider_talkpilot.operators.task_group import TalkPilotCallsTaskGroup

with DAG(
    dag_id="talkpilot_calls_to_bigquery",
    # "@daily" makes intervals of zero length on Airflow 3; this timetable makes real days.
    schedule=CronDataIntervalTimetable("@daily", timezone="UTC"),
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    default_args={
        "retries": 3,
        "retry_delay": timedelta(minutes=2),
        "retry_exponential_backoff": True,
        # If several runs wait for a slot: daily runs first, then runs by hand, then backfills.
        "weight_rule": "airflow_provider_talkpilot.operators.priority.ScheduledFirst",
    },
    params={
        "start": Param(
            None,
            type=["null", "string"],
            title="Start",
            description="First moment (UTC): 2026-03-18, or 2026-03-18T12:00. Leave start and end "
            "empty for the run's own interval.",
        ),
        "end": Param(
            None,
            type=["null", "string"],
            title="End",
            description="First moment after it: 2026-03-19 includes all of the 18th.",
        ),
        "enrich": Param(
            True,
            type="boolean",
            title="Details",
            description="Fetch transcripts and scores too: one request per call.",
        ),
        "recordings_backfill": Param(
            False,
            type="boolean",
            title="Missing recordings",
            description="Fetch details again whose recording is missing: one request per call.",
        ),
        "confirm_erasure": Param(
            False,
            type="boolean",
            title="Confirm erasure",
            description="Erase calls that are gone from TalkPilot, however many they are.",
        ),
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
        start="{{ params.start or '' }}",
        end="{{ params.end or '' }}",
        enrich="{{ params.enrich }}",
        performance="{{ var.value.get('talkpilot_performance', '') }}",
        details="{{ var.value.get('talkpilot_details', '') }}",
        recordings_uri="{{ var.value.get('talkpilot_recordings_uri', '') }}",
        recordings_keep_days="{{ var.value.get('talkpilot_recordings_keep_days', '') }}",
        recordings_backfill="{{ params.recordings_backfill }}",
        confirm_erasure="{{ params.confirm_erasure }}",
        columns="{{ var.value.get('talkpilot_columns', '') }}",
        agent_prompts="{{ var.value.get('talkpilot_agent_prompts', '') }}",
        policy_tags="{{ var.value.get('talkpilot_policy_tags', '') }}",
        keep_staged="{{ var.value.get('talkpilot_keep_staged', 'false') }}",
    )
