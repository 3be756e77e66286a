"""A DAG that is scheduled on the asset of the table's calls."""

from __future__ import annotations

import os
from datetime import UTC, datetime

from airflow.providers.common.compat.sdk import DAG, Asset
from airflow.providers.standard.operators.empty import EmptyOperator

TABLE = os.environ["AIRFLOW_VAR_TALKPILOT_BIGQUERY_TABLE"]

with DAG(
    "talkpilot_arrivals",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    schedule=[Asset("bigquery://" + TABLE.replace(".", "/"))],
    catchup=False,
):
    EmptyOperator(task_id="nothing")
