"""A day of TalkPilot calls into BigQuery, complete and once, every day."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.providers.common.compat.sdk import DAG, AssetAlias, Param
from airflow.timetables.interval import CronDataIntervalTimetable

from airflow_provider_talkpilot.operators.bigquery import TalkPilotLoadCallsOperator
from airflow_provider_talkpilot.operators.calls import (
    TalkPilotEnrichCallsOperator,
    TalkPilotExtractCallsOperator,
)
from airflow_provider_talkpilot.operators.staging import TalkPilotCleanStagingOperator

STAGING = "{{ var.value.talkpilot_staging_uri }}"
TABLE = "{{ var.value.talkpilot_bigquery_table }}"
POLICY_TAGS = "{{ var.value.get('talkpilot_policy_tags', '') }}"

with DAG(
    dag_id="talkpilot_calls_to_bigquery",
    # "@daily" makes intervals of zero length on Airflow 3; this timetable makes real days.
    schedule=CronDataIntervalTimetable("@daily", timezone="UTC"),
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    default_args={
        "retries": 3,
        "retry_delay": timedelta(minutes=2),
        "retry_exponential_backoff": True,
        # Where several runs wait: the daily ones, then those by hand, then a backfill's.
        "weight_rule": "airflow_provider_talkpilot.operators.priority.ScheduledFirst",
    },
    params={
        "start": Param(
            None,
            type=["null", "string"],
            title="Start",
            description="From here on (UTC): 2026-03-18, or 2026-03-18T12:00. Leave start and end "
            "empty to take the run's own interval.",
        ),
        "end": Param(
            None,
            type=["null", "string"],
            title="End",
            description="Up to here, not included: 2026-03-19 takes all of the 18th.",
        ),
        "enrich": Param(
            True,
            type="boolean",
            title="Details",
            description="Fetch transcripts and scores too: one request a call.",
        ),
        "confirm_erasure": Param(
            False,
            type="boolean",
            title="Confirm erasure",
            description="Empty the rows of calls that are gone from TalkPilot, however many.",
        ),
    },
    tags=["talkpilot"],
    doc_md=__doc__,
) as dag:
    extract = TalkPilotExtractCallsOperator(
        task_id="extract_calls",
        staging_uri=STAGING,
        agent_ids="{{ var.value.get('talkpilot_agent_ids', '') }}",
        start="{{ params.start or '' }}",
        end="{{ params.end or '' }}",
        columns="{{ var.value.get('talkpilot_columns', '') }}",
        deferrable=True,
        doc_md="Reads the lists of the interval's calls, one request per 100, and stages them.",
    )
    load_calls = TalkPilotLoadCallsOperator(
        task_id="load_calls",
        manifest_uri=extract.output,
        table=TABLE,
        policy_tags=POLICY_TAGS,
        confirm_erasure="{{ params.confirm_erasure }}",
        outlets=[AssetAlias("talkpilot_calls")],
        # Runs take turns: they change one table, and of two whose events make the table's asset in
        # the same moment Airflow 3.3.2 fails one.
        max_active_tis_per_dag=1,
        doc_md="Makes the table equal to the lists: one load job, one MERGE. May be cleared.",
    )
    enrich = TalkPilotEnrichCallsOperator(
        task_id="enrich_calls",
        manifest_uri=extract.output,
        enabled="{{ params.enrich }}",
        table=TABLE,
        # One run at a time: together they would be no faster, and all of them late.
        max_active_tis_per_dag=1,
        # Used-up quota frees the worker; the triggerer waits.
        deferrable=True,
        doc_md="Asks for the transcripts and scores that neither staging nor the table has, one "
        "request a call. Deferred, it waits for the quota, and goes on where it stopped.",
    )
    load_details = TalkPilotLoadCallsOperator(
        task_id="load_details",
        manifest_uri=enrich.output,
        table=TABLE,
        policy_tags=POLICY_TAGS,
        outlets=[AssetAlias("talkpilot_details")],
        max_active_tis_per_dag=1,
        doc_md="Brings transcripts and scores into the table. May be cleared.",
    )
    clean = TalkPilotCleanStagingOperator(
        task_id="clean_staging",
        staging_uri=STAGING,
        manifest_uris=[extract.output, enrich.output],
        keep="{{ var.value.get('talkpilot_keep_staged', 'false') }}",
        # After a run without details too; never when something failed.
        trigger_rule="none_failed_min_one_success",
        doc_md="Deletes what is loaded from staging, and takes calls that TalkPilot purged or "
        "erased out of all other staged files.",
    )
    # Summaries arrive without waiting for the details.
    load_calls >> load_details >> clean
    load_calls >> clean
