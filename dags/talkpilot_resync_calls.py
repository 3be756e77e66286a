"""Read past days again, so that purges, edits, late scores and deletions reach BigQuery."""

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
from airflow_provider_talkpilot.resync.days import later_state

DAG_ID, CONNECTION = "talkpilot_resync_calls", "talkpilot_default"
# The Variable that stores what was read. Each DAG and connection has its own.
STATE = f"{DAG_ID}_{CONNECTION}_state"
STORED = "{{ var.value.get('" + STATE + "', '') }}"
STAGING = "{{ var.value.talkpilot_staging_uri }}"
AGENTS = "{{ var.value.get('talkpilot_agent_ids', '') }}"
TABLE = "{{ var.value.talkpilot_bigquery_table }}"
LOCATION = "{{ var.value.get('talkpilot_bigquery_location', '') }}"

with DAG(
    dag_id=DAG_ID,
    # Some hours after the daily DAG, so that its details come first.
    schedule=CronDataIntervalTimetable("0 6 * * *", timezone="UTC"),
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    default_args={
        "retries": 3,
        "retry_delay": timedelta(minutes=2),
        "retry_exponential_backoff": True,
        # Below the daily DAG's tasks, if both wait for a slot.
        "priority_weight": 0,
        "weight_rule": "absolute",
    },
    params={
        "start": Param(
            None,
            type=["null", "string"],
            title="Start",
            description="First moment (UTC): 2026-03-18, or 2026-03-18T12:00. Leave start and end "
            "empty for the days that are due.",
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
            description="Fetch details that are missing: one request per call.",
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
    choose = TalkPilotChooseDaysOperator(
        task_id="choose_days",
        talkpilot_conn_id=CONNECTION,
        look_backs="{{ var.value.get('talkpilot_resync_look_backs', '') }}",
        state=STORED,
        start="{{ params.start or '' }}",
        end="{{ params.end or '' }}",
        agent_ids=AGENTS,
        table=TABLE,
        location=LOCATION,
        staging_uri=STAGING,
        # While the quota is used up, the triggerer waits and not the worker.
        deferrable=True,
        doc_md="Chooses days whose calls are as old as their agent's retention, and those of the "
        "longest look-back that is due. It costs one request, for the list of agents.",
    )

    @task_group(group_id="read_again", prefix_group_id=False)
    def read_again(start: str, end: str, agent_ids: str) -> None:
        """Read one interval again, with the tasks of the daily DAG."""
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
            # Intervals take turns. Side by side they would be no faster.
            task_arguments={"extract_calls": {"max_active_tis_per_dag": 1}},
        )

    # These two are outside of the group: in a mapped one, Airflow 2.11 skips tasks with such a
    # trigger rule.
    clean = clean_behind(
        read_again.expand_kwargs(choose.output),
        staging_uri=STAGING,
        keep_staged="{{ var.value.get('talkpilot_keep_staged', 'false') }}",
    )

    @task(trigger_rule="none_failed_min_one_success")
    def note_days(state: str, stored: str) -> None:
        """Store what was read, once all intervals are in the table."""
        if state:
            Variable.set(STATE, later_state(state, stored))

    [*clean.upstream_list] >> note_days(
        state="{{ ti.xcom_pull('choose_days', key='summary')['state'] if params.enrich else '' }}",
        stored=STORED,
    )
