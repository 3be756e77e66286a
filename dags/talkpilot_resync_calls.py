"""Past days of TalkPilot calls again, so that purges, edits, late scores and deletions arrive."""

from __future__ import annotations

from datetime import timedelta

import pendulum
from airflow.timetables.interval import CronDataIntervalTimetable

from airflow_provider_talkpilot.compat import (
    DAG,
    Param,
    Variable,
    task,
    task_group,
)
from airflow_provider_talkpilot.operators.resync import TalkPilotChooseDaysOperator
from airflow_provider_talkpilot.operators.task_group import (
    TalkPilotCallsTaskGroup,
    clean_behind,
)

DAG_ID, CONNECTION = "talkpilot_resync_calls", "talkpilot_default"
# The Variable that keeps what was read: each DAG and connection has its own.
DONE = f"{DAG_ID}_{CONNECTION}_done"
STAGING = "{{ var.value.talkpilot_staging_uri }}"
AGENTS = "{{ var.value.get('talkpilot_agent_ids', '') }}"
TABLE = "{{ var.value.talkpilot_bigquery_table }}"
LOCATION = "{{ var.value.get('talkpilot_bigquery_location', '') }}"

with DAG(
    dag_id=DAG_ID,
    # Some hours after the daily DAG: its details come first.
    schedule=CronDataIntervalTimetable("0 6 * * *", timezone="UTC"),
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
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
        talkpilot_conn_id=CONNECTION,
        look_backs="{{ var.value.get('talkpilot_resync_look_backs', '') }}",
        done="{{ var.value.get('" + DONE + "', '') }}",
        start="{{ params.start or '' }}",
        end="{{ params.end or '' }}",
        agent_ids=AGENTS,
        table=TABLE,
        location=LOCATION,
        staging_uri=STAGING,
        # Used-up quota frees the worker; the triggerer waits.
        deferrable=True,
        doc_md="Chooses the days: those whose calls are as old as their agent's retention, and the "
        "longest look-back that is due. One request, for the list of agents.",
    )

    @task_group(group_id="read_again", prefix_group_id=False)
    def read_again(start: str, end: str, agent_ids: str) -> None:
        """One interval again, with the tasks of the daily DAG."""
        TalkPilotCallsTaskGroup(
            prefix_group_id=False,
            talkpilot_conn_id=CONNECTION,
            staging_uri=STAGING,
            table=TABLE,
            location=LOCATION,
            agent_ids=agent_ids,
            start=start,
            end=end,
            enrich="{{ params.enrich }}",
            performance="{{ var.value.get('talkpilot_performance', '') }}",
            details="{{ var.value.get('talkpilot_details', '') }}",
            recordings_uri="{{ var.value.get('talkpilot_recordings_uri', '') }}",
            recordings_keep_days="{{ var.value.get('talkpilot_recordings_keep_days', '') }}",
            confirm_erasure="{{ params.confirm_erasure }}",
            columns="{{ var.value.get('talkpilot_columns', '') }}",
            agent_prompts="{{ var.value.get('talkpilot_agent_prompts', '') }}",
            policy_tags="{{ var.value.get('talkpilot_policy_tags', '') }}",
            clean=False,
            # Intervals take turns: together they would be no faster.
            task_arguments={"extract_calls": {"max_active_tis_per_dag": 1}},
        )

    # These two are no part of the group: in one, Airflow 2.11 skips tasks with such a trigger rule.
    clean = clean_behind(
        read_again.expand_kwargs(choose.output),
        staging_uri=STAGING,
        keep_staged="{{ var.value.get('talkpilot_keep_staged', 'false') }}",
    )

    @task(trigger_rule="none_failed_min_one_success")
    def note_days(done: str) -> None:
        """Days count as read once all intervals are in the table: only the last task notes it."""
        if done:
            Variable.set(DONE, done)

    [*clean.upstream_list] >> note_days(
        done="{{ ti.xcom_pull('choose_days', key='summary')['done'] if params.enrich else '' }}",
    )
