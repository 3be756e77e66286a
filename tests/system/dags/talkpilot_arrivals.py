"""Scheduled on the table's own assets, which a DAG file names where it knows the table."""

from __future__ import annotations

import os
from datetime import UTC, datetime

from airflow.providers.common.compat.sdk import DAG, Asset
from airflow.providers.standard.operators.empty import EmptyOperator

URI = "bigquery://" + os.environ["AIRFLOW_VAR_TALKPILOT_BIGQUERY_TABLE"].replace(".", "/")

for kind, uri in {"calls": URI, "details": f"{URI}?with=details"}.items():
    with DAG(
        f"talkpilot_{kind}_arrived",
        start_date=datetime(2026, 1, 1, tzinfo=UTC),
        schedule=[Asset(uri)],
        catchup=False,
    ):
        EmptyOperator(task_id="nothing")
