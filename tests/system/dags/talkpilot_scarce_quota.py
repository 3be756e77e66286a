"""The shipped DAG's tasks, on a key whose hour is used up in the middle of the details."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_talkpilot.operators.bigquery import TalkPilotLoadCallsOperator
from airflow_provider_talkpilot.operators.calls import (
    TalkPilotEnrichCallsOperator,
    TalkPilotExtractCallsOperator,
)
from airflow_provider_talkpilot.operators.clean import TalkPilotCleanStagingOperator

TABLE = "{{ var.value.scarce_table }}"
STAGING = "{{ var.value.talkpilot_staging_uri }}"

with DAG(
    "talkpilot_scarce_quota",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    schedule=None,
    # On a busy machine Airflow can lose the end of a try, and then tries again.
    default_args={
        "talkpilot_conn_id": "talkpilot_scarce",
        "deferrable": True,
        "retries": 3,
        "retry_delay": timedelta(0),
    },
):
    # A caller's number that is not in the DAG file, as in a user's own code.
    selection = TalkPilotExtractCallsOperator(
        task_id="select_calls",
        staging_uri=STAGING,
        phone_number=os.environ.get("TEST_PHONE_NUMBER"),
    )
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
        manifest_uris=[selection.output, extract.output, enrich.output],
    )
    selection >> extract
    load_calls >> load_details >> clean
