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

TABLE = "{{ var.value.scarce_table }}"
STAGING = "{{ var.value.talkpilot_staging_uri }}"

with DAG(
    "talkpilot_scarce_quota",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    schedule=None,
    # On a busy machine Airflow can fail to record how a try ended: then another is made.
    default_args={
        "talkpilot_conn_id": "talkpilot_scarce",
        "deferrable": True,
        "retries": 3,
        "retry_delay": timedelta(0),
    },
):
    # A caller's number as a user's own code would bring it: from elsewhere than the DAG file.
    selection = TalkPilotExtractCallsOperator(
        task_id="select_calls",
        staging_uri=STAGING,
        phone_number=os.environ.get("TEST_PHONE_NUMBER"),
    )
    extract = TalkPilotExtractCallsOperator(task_id="extract_calls", staging_uri=STAGING)
    enrich = TalkPilotEnrichCallsOperator(
        task_id="enrich_calls",
        manifest_uri=extract.output,
        defer_after=timedelta(seconds=2),
    )
    load = TalkPilotLoadCallsOperator(
        task_id="load_details",
        manifest_uri=enrich.output,
        table=TABLE,
    )
    selection >> extract
