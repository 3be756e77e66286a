"""Compute figures of each interval when its calls and their details are in the table.

It runs after each load of details: of a day, or of days that the re-sync read again.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pendulum

from airflow_provider_talkpilot.compat import DAG, AssetAlias, task

with DAG(
    dag_id="talkpilot_report",
    schedule=AssetAlias("talkpilot_details"),
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    tags=["talkpilot"],
    doc_md=__doc__,
):

    @task
    def arrived(**context: Any) -> list[dict[str, str]]:
        """List the intervals that arrived: several if some arrived during an earlier run."""
        events = context.get("triggering_asset_events") or context.get("triggering_dataset_events")
        # Airflow 3 lists an event twice: by its asset and by its alias.
        extras = [event.extra for of_asset in (events or {}).values() for event in of_asset]
        names = ("table", "start", "end")
        intervals = {tuple(extra[name] for name in names) for extra in extras}
        return [dict(zip(names, interval, strict=True)) for interval in sorted(intervals)]

    @task
    def report(table: str, start: str, end: str) -> dict[str, Any]:
        """Replace this by a query of your own."""
        from airflow.providers.google.cloud.hooks.bigquery import BigQueryHook
        from google.cloud.bigquery import QueryJobConfig, ScalarQueryParameter

        config = QueryJobConfig(
            query_parameters=[
                ScalarQueryParameter("start", "TIMESTAMP", datetime.fromisoformat(start)),
                ScalarQueryParameter("end", "TIMESTAMP", datetime.fromisoformat(end)),
            ]
        )
        # The name of a table cannot be a parameter.
        query = f"""
            SELECT COUNT(*) AS calls, COUNT(final_score) AS scored, SUM(duration) AS seconds
            FROM `{table}`
            WHERE created_at >= @start AND created_at < @end
              AND deleted_at IS NULL AND erased_at IS NULL
        """  # noqa: S608
        hook = BigQueryHook(use_legacy_sql=False)
        client = hook.get_client(project_id=hook.project_id)
        [row] = client.query(query, job_config=config).result()
        return {"start": start, "end": end, **dict(row)}

    report.expand_kwargs(arrived())
