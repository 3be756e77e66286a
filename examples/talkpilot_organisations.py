"""Many keys: one connection for each customer organisation, all in one table.

Each key has a quota of its own, so organisations do not wait for each other. Ids of agents and
calls are unique everywhere: one table holds them all. The Variable ``talkpilot_organisations`` is a
JSON list of connection ids.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from airflow.providers.common.compat.sdk import DAG, Variable, task
from airflow.timetables.interval import CronDataIntervalTimetable

from airflow_provider_talkpilot.operators.bigquery import TalkPilotLoadCallsOperator
from airflow_provider_talkpilot.operators.calls import (
    TalkPilotEnrichCallsOperator,
    TalkPilotExtractCallsOperator,
)
from airflow_provider_talkpilot.operators.staging import TalkPilotCleanStagingOperator

STAGING = "{{ var.value.talkpilot_staging_uri }}"
TABLE = "{{ var.value.talkpilot_bigquery_table }}"


def of_one_organisation(pair: tuple[str, str]) -> dict[str, Any]:
    """Details are asked for with the key that their calls came by."""
    manifest_uri, connection_id = pair
    return {"manifest_uri": manifest_uri, "talkpilot_conn_id": connection_id}


with DAG(
    dag_id="talkpilot_organisations",
    schedule=CronDataIntervalTimetable("@daily", timezone="UTC"),
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    tags=["talkpilot"],
    doc_md=__doc__,
):

    @task
    def organisations() -> list[str]:
        """The connections of all organisations."""
        found: list[str] = Variable.get("talkpilot_organisations", deserialize_json=True)
        return found

    connections = organisations()
    extract = TalkPilotExtractCallsOperator.partial(
        task_id="extract_calls",
        staging_uri=STAGING,
        deferrable=True,
    ).expand(talkpilot_conn_id=connections)
    load_calls = TalkPilotLoadCallsOperator.partial(
        task_id="load_calls",
        table=TABLE,
        # BigQuery lets few statements change a table at once.
        max_active_tis_per_dagrun=2,
    ).expand(manifest_uri=extract.output)
    enrich = TalkPilotEnrichCallsOperator.partial(
        task_id="enrich_calls", table=TABLE, deferrable=True
    ).expand_kwargs(extract.output.zip(connections).map(of_one_organisation))
    load_details = TalkPilotLoadCallsOperator.partial(
        task_id="load_details", table=TABLE, max_active_tis_per_dagrun=2
    ).expand(manifest_uri=enrich.output)
    clean = TalkPilotCleanStagingOperator(
        task_id="clean_staging",
        staging_uri=STAGING,
        manifest_uris=[extract.output, enrich.output],
    )
    load_calls >> load_details >> clean
