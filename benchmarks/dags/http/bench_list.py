"""HttpOperator brings a day's list, and a task writes it as lines for GCSToBigQueryOperator."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from airflow.providers.common.compat.sdk import DAG, BaseHook, task
from airflow.providers.http.operators.http import HttpOperator
from airflow.timetables.interval import CronDataIntervalTimetable

HEADERS = {"X-API-Key": "{{ conn.talkpilot_http.password }}"}


def next_page(response: Any) -> dict[str, Any] | None:
    """The next page's number; None after the last."""
    told = response.json()["pagination"]
    return {"data": {"page": told["page"] + 1}} if told["page"] < told["pages"] else None


with DAG(
    dag_id="bench_list",
    schedule=CronDataIntervalTimetable("@daily", timezone="UTC"),
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
):
    agents = HttpOperator(
        task_id="agents",
        http_conn_id="talkpilot_http",
        method="GET",
        endpoint="agents",
        data={"limit": 100},
        headers=HEADERS,
        response_filter=lambda response: [
            f"agents/{agent['id']}/calls" for agent in response.json()["data"]
        ],
    )
    calls = HttpOperator.partial(
        task_id="calls",
        http_conn_id="talkpilot_http",
        method="GET",
        data={
            "limit": 100,
            "include_deleted": "true",
            "from": "{{ data_interval_start }}",
            "to": "{{ data_interval_end }}",
        },
        headers=HEADERS,
        pagination_function=next_page,
        response_filter=lambda pages: [row for page in pages for row in page.json()["data"]],
    ).expand(endpoint=agents.output)

    @task
    def write(rows: list[dict[str, Any]]) -> None:
        """Write an agent's rows to the bucket."""
        bucket = Path(BaseHook.get_connection("bench_files").extra_dejson["path"])
        bucket.mkdir(parents=True, exist_ok=True)
        path = bucket / f"{rows[0]['agent_id']}.jsonl"
        path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))

    write.expand(rows=calls.output)
