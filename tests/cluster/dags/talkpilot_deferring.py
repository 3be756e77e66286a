"""The shipped DAG's tasks, on a key whose hour is used up in the middle of the details."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_talkpilot.operators.bigquery import TalkPilotLoadCallsOperator
from airflow_provider_talkpilot.operators.calls import (
    TalkPilotEnrichCallsOperator,
    TalkPilotExtractCallsOperator,
)
from airflow_provider_talkpilot.operators.staging import TalkPilotCleanStagingOperator

STAGING = "{{ var.value.talkpilot_staging_uri }}"
TABLE = "{{ var.value.deferring_table }}"

with DAG(
    "talkpilot_deferring",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    schedule=None,
    default_args={"talkpilot_conn_id": "talkpilot_scarce", "deferrable": True},
):
    extract = TalkPilotExtractCallsOperator(task_id="extract_calls", staging_uri=STAGING)
    load_calls = TalkPilotLoadCallsOperator(
        task_id="load_calls", manifest_uri=extract.output, table=TABLE
    )
    enrich = TalkPilotEnrichCallsOperator(
        task_id="enrich_calls",
        manifest_uri=extract.output,
        table=TABLE,
        defer_after=timedelta(seconds=2),
    )
    load_details = TalkPilotLoadCallsOperator(
        task_id="load_details", manifest_uri=enrich.output, table=TABLE
    )
    clean = TalkPilotCleanStagingOperator(
        task_id="clean_staging",
        staging_uri=STAGING,
        manifest_uris=[extract.output, enrich.output],
    )
    load_calls >> load_details >> clean
