"""Bring the calls of one key to BigQuery with a task for some agents each.

One task for all agents is simpler and costs fewer BigQuery jobs. Use this if an error with one
agent must not delay the others.
"""

from __future__ import annotations

import pendulum
from airflow.timetables.interval import CronDataIntervalTimetable

from airflow_provider_talkpilot.compat import DAG, task, task_group
from airflow_provider_talkpilot.hooks.talkpilot import TalkPilotHook
from airflow_provider_talkpilot.operators.task_group import (
    TalkPilotCallsTaskGroup,
    clean_behind,
)

AGENTS_A_TASK = 1
STAGING = "{{ var.value.talkpilot_staging_uri }}"
TABLE = "{{ var.value.talkpilot_bigquery_table }}"

with DAG(
    dag_id="talkpilot_agents",
    schedule=CronDataIntervalTimetable("@daily", timezone="UTC"),
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    tags=["talkpilot"],
    doc_md=__doc__,
):

    @task
    def agents() -> list[list[str]]:
        """List the agents that the key can see."""
        with TalkPilotHook() as hook:
            ids = [agent.id for agent in hook.get_agents()]
        return [ids[first : first + AGENTS_A_TASK] for first in range(0, len(ids), AGENTS_A_TASK)]

    @task_group(prefix_group_id=False)
    def some_agents(agent_ids: list[str]) -> None:
        """Run the whole chain for some agents."""
        TalkPilotCallsTaskGroup(
            prefix_group_id=False,
            staging_uri=STAGING,
            table=TABLE,
            agent_ids=agent_ids,
            clean=False,
        )

    clean_behind(some_agents.expand(agent_ids=agents()), staging_uri=STAGING)
