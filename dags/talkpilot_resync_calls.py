"""Past days of TalkPilot calls again, so that edits, late scores, purges and deletions arrive."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.providers.common.compat.sdk import DAG, AssetAlias, Param, Variable, task
from airflow.timetables.interval import CronDataIntervalTimetable

from airflow_provider_talkpilot.operators.bigquery import TalkPilotLoadCallsOperator
from airflow_provider_talkpilot.operators.calls import (
    TalkPilotEnrichCallsOperator,
    TalkPilotExtractCallsOperator,
)
from airflow_provider_talkpilot.operators.resync import TalkPilotChooseRungOperator
from airflow_provider_talkpilot.operators.staging import TalkPilotCleanStagingOperator

STAGING = "{{ var.value.talkpilot_staging_uri }}"
TABLE = "{{ var.value.talkpilot_bigquery_table }}"
POLICY_TAGS = "{{ var.value.get('talkpilot_policy_tags', '') }}"

with DAG(
    dag_id="talkpilot_resync_calls",
    # Some hours after the daily DAG: its details come first.
    schedule=CronDataIntervalTimetable("0 6 * * *", timezone="UTC"),
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    default_args={
        "retries": 3,
        "retry_delay": timedelta(minutes=2),
        "retry_exponential_backoff": True,
        # Below the daily DAG's tasks, where both wait for a slot.
        "priority_weight": 0,
        "weight_rule": "absolute",
    },
    params={
        "start": Param(
            None,
            type=["null", "string"],
            title="Start",
            description="From here on (UTC): 2026-03-18, or 2026-03-18T12:00. Leave start and end "
            "empty to take what the ladder says.",
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
            description="Fetch transcripts and scores of calls that changed: one request each.",
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
    choose = TalkPilotChooseRungOperator(
        task_id="choose_rung",
        ladder="{{ var.value.get('talkpilot_resync_ladder', '') }}",
        done="{{ var.value.get('talkpilot_resync_done', '') }}",
        start="{{ params.start or '' }}",
        end="{{ params.end or '' }}",
        table=TABLE,
        doc_md="Chooses the days: the longest look-back of the ladder that is due.",
    )
    extract = TalkPilotExtractCallsOperator(
        task_id="extract_calls",
        staging_uri=STAGING,
        agent_ids="{{ var.value.get('talkpilot_agent_ids', '') }}",
        start="{{ ti.xcom_pull('choose_rung')['start'] }}",
        end="{{ ti.xcom_pull('choose_rung')['end'] }}",
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
        doc_md="Makes the table equal to the lists: one load job, one MERGE. May be cleared.",
    )
    enrich = TalkPilotEnrichCallsOperator(
        task_id="enrich_calls",
        manifest_uri=extract.output,
        enabled="{{ params.enrich }}",
        table=TABLE,
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

    # Where the columns of details are dropped, there are none to wait for.
    @task(trigger_rule="none_failed_min_one_success")
    def note_rung(done: str) -> None:
        """A rung counts as read when all of it is in the table, so nothing else may note it."""
        if done:
            Variable.set("talkpilot_resync_done", done)

    # Summaries arrive without waiting for the details.
    choose >> extract
    load_calls >> load_details >> clean
    load_calls >> clean
    [load_calls, load_details] >> note_rung(
        done="{{ ti.xcom_pull('choose_rung')['done'] if params.enrich else '' }}"
    )
