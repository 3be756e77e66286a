"""One key with many agents, some agents a task.

One task for all agents is simpler, and costs fewer BigQuery jobs. Take this where one agent's
trouble shall not hold up the others.
"""

from __future__ import annotations

from datetime import UTC, datetime

from airflow.providers.common.compat.sdk import DAG, task
from airflow.timetables.interval import CronDataIntervalTimetable

from airflow_provider_talkpilot.hooks.talkpilot import TalkPilotHook
from airflow_provider_talkpilot.operators.bigquery import TalkPilotLoadCallsOperator
from airflow_provider_talkpilot.operators.calls import (
    TalkPilotEnrichCallsOperator,
    TalkPilotExtractCallsOperator,
)
from airflow_provider_talkpilot.operators.staging import TalkPilotCleanStagingOperator

AGENTS_A_TASK = 1
STAGING = "{{ var.value.talkpilot_staging_uri }}"
TABLE = "{{ var.value.talkpilot_bigquery_table }}"

with DAG(
    dag_id="talkpilot_agents",
    schedule=CronDataIntervalTimetable("@daily", timezone="UTC"),
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    tags=["talkpilot"],
    doc_md=__doc__,
):

    @task
    def agents() -> list[list[str]]:
        """The agents that the key can see."""
        with TalkPilotHook().get_conn() as client:
            ids = [agent.id for agent in client.agents()]
        return [ids[first : first + AGENTS_A_TASK] for first in range(0, len(ids), AGENTS_A_TASK)]

    extract = TalkPilotExtractCallsOperator.partial(
        task_id="extract_calls",
        staging_uri=STAGING,
        deferrable=True,
    ).expand(agent_ids=agents())
    load_calls = TalkPilotLoadCallsOperator.partial(
        task_id="load_calls",
        table=TABLE,
        # BigQuery lets few statements change a table at once.
        max_active_tis_per_dagrun=2,
    ).expand(manifest_uri=extract.output)
    enrich = TalkPilotEnrichCallsOperator.partial(
        task_id="enrich_calls", table=TABLE, deferrable=True
    ).expand(manifest_uri=extract.output)
    load_details = TalkPilotLoadCallsOperator.partial(
        task_id="load_details", table=TABLE, max_active_tis_per_dagrun=2
    ).expand(manifest_uri=enrich.output)
    clean = TalkPilotCleanStagingOperator(
        task_id="clean_staging",
        staging_uri=STAGING,
        manifest_uris=[extract.output, enrich.output],
    )
    load_calls >> load_details >> clean
