"""Bring the calls of many keys to one table, with a connection for each customer organisation.

Each key has its own quota, so organisations do not wait for each other. Ids of agents and calls are
unique everywhere, so one table can hold them all. The Variable ``talkpilot_organisations`` is a
JSON list of connection ids.
"""

from __future__ import annotations

import pendulum
from airflow.timetables.interval import CronDataIntervalTimetable

from airflow_provider_talkpilot.compat import DAG, Variable, task, task_group
from airflow_provider_talkpilot.operators.task_group import (
    TalkPilotCallsTaskGroup,
    clean_behind,
)

STAGING = "{{ var.value.talkpilot_staging_uri }}"
TABLE = "{{ var.value.talkpilot_bigquery_table }}"

with DAG(
    dag_id="talkpilot_organisations",
    schedule=CronDataIntervalTimetable("@daily", timezone="UTC"),
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    tags=["talkpilot"],
    doc_md=__doc__,
):

    @task
    def organisations() -> list[str]:
        """List the connections of all organisations."""
        ids: list[str] = Variable.get("talkpilot_organisations", deserialize_json=True)
        return ids

    @task_group(prefix_group_id=False)
    def one_organisation(talkpilot_conn_id: str) -> None:
        """Run the whole chain for a key. Details need the key that listed their calls."""
        TalkPilotCallsTaskGroup(
            prefix_group_id=False,
            staging_uri=STAGING,
            table=TABLE,
            talkpilot_conn_id=talkpilot_conn_id,
            clean=False,
            # Loads take turns. Details do not: a task that waits for its key's quota must not hold
            # back another key.
            task_arguments={"enrich_calls": {"max_active_tis_per_dag": None}},
        )

    one_each = one_organisation.expand(talkpilot_conn_id=organisations())
    clean_behind(one_each, staging_uri=STAGING)
