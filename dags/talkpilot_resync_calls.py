"""Past days of TalkPilot calls again, so that purges, edits, late scores and deletions arrive."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.providers.common.compat.sdk import (
    DAG,
    AssetAlias,
    Param,
    Variable,
    task,
    task_group,
)
from airflow.timetables.interval import CronDataIntervalTimetable

from airflow_provider_talkpilot.operators.bigquery import TalkPilotLoadCallsOperator
from airflow_provider_talkpilot.operators.calls import (
    TalkPilotEnrichCallsOperator,
    TalkPilotExtractCallsOperator,
)
from airflow_provider_talkpilot.operators.resync import TalkPilotChooseDaysOperator
from airflow_provider_talkpilot.operators.staging import TalkPilotCleanStagingOperator

STAGING = "{{ var.value.talkpilot_staging_uri }}"
AGENTS = "{{ var.value.get('talkpilot_agent_ids', '') }}"
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
            "empty to take the days that are due.",
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
    choose = TalkPilotChooseDaysOperator(
        task_id="choose_days",
        look_backs="{{ var.value.get('talkpilot_resync_look_backs', '') }}",
        done="{{ var.value.get(dag.dag_id ~ '_done', '') }}",
        start="{{ params.start or '' }}",
        end="{{ params.end or '' }}",
        agent_ids=AGENTS,
        table=TABLE,
        staging_uri=STAGING,
        # Used-up quota frees the worker; the triggerer waits.
        deferrable=True,
        doc_md="Chooses the days: those whose calls are as old as their agent's retention, and the "
        "longest look-back that is due. One request, for the list of agents.",
    )

    @task_group(group_id="read_again", prefix_group_id=False)
    def read_again(start: str, end: str, agent_ids: str) -> None:
        """One interval again, with the tasks of the daily DAG."""
        extract = TalkPilotExtractCallsOperator(
            task_id="extract_calls",
            staging_uri=STAGING,
            agent_ids=agent_ids,
            start=start,
            end=end,
            columns="{{ var.value.get('talkpilot_columns', '') }}",
            # Intervals take turns, here and below: together they would be no faster.
            max_active_tis_per_dag=1,
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
            # They change one table.
            max_active_tis_per_dag=1,
            doc_md="Makes the table equal to the lists: one load job, one MERGE. May be cleared.",
        )
        enrich = TalkPilotEnrichCallsOperator(
            task_id="enrich_calls",
            manifest_uri=extract.output,
            enabled="{{ params.enrich }}",
            table=TABLE,
            max_active_tis_per_dag=1,
            deferrable=True,
            doc_md="Requests the transcripts and scores that neither staging nor the table has, "
            "one request a call. Deferred, it waits for the quota, and goes on where it stopped.",
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
        # Summaries arrive without waiting for the details.
        load_calls >> load_details

    read_again.expand_kwargs(choose.output)
    extract, load_calls, enrich, load_details = (
        dag.get_task(name)
        for name in ("extract_calls", "load_calls", "enrich_calls", "load_details")
    )

    # These two are no part of the group: in one, Airflow 2.11 skips tasks with such a trigger rule.
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

    @task(trigger_rule="none_failed_min_one_success")
    def note_days(done: str, dag_id: str) -> None:
        """Days count as read once all intervals are in the table: only the last task notes it."""
        if done:
            Variable.set(f"{dag_id}_done", done)

    [load_calls, load_details] >> clean
    [load_calls, load_details] >> note_days(
        done="{{ ti.xcom_pull('choose_days', key='summary')['done'] if params.enrich else '' }}",
        dag_id="{{ dag.dag_id }}",
    )
