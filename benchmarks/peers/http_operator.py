"""Airflow's HttpOperator with a pagination function, and the file that GCSToBigQueryOperator loads.

By the provider's documents: the responses of all pages come at once, a filter makes lines of them,
and those go to a bucket, here a folder.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from pathlib import Path
from typing import Any

from benchmarks.figures import measured


def main(_kind: str, base_url: str, api_key: str, root: str, start: str, end: str) -> None:
    """Write an interval's list; the operator cannot fetch a list's details."""
    os.environ |= {
        "AIRFLOW_HOME": root,
        "AIRFLOW_CONN_TALKPILOT": json.dumps({"conn_type": "http", "host": base_url}),
    }
    from airflow.providers.http.operators.http import HttpOperator

    logging.disable(logging.INFO)
    headers = {"X-API-Key": api_key}

    def operator(name: str, endpoint: str, params: dict[str, Any]) -> HttpOperator:
        def next_page(response: Any) -> dict[str, Any] | None:
            told = response.json()["pagination"]
            if told["page"] >= told["pages"]:
                return None
            return {"data": {**params, "page": told["page"] + 1}}

        return HttpOperator(
            task_id=name,
            http_conn_id="talkpilot",
            method="GET",
            endpoint=endpoint,
            data=params,
            headers=headers,
            pagination_function=next_page,
            response_filter=lambda pages: [row for page in pages for row in page.json()["data"]],
        )

    with measured():
        for agent in operator("agents", "agents", {"limit": 100}).execute({}):
            params = {"limit": 100, "include_deleted": "true", "from": start, "to": end}
            rows = operator("calls", f"agents/{agent['id']}/calls", params).execute({})
            path = Path(root, "bucket", f"{start}_{agent['id']}.jsonl")
            path.parent.mkdir(exist_ok=True)
            with path.open("w") as file:
                file.writelines(json.dumps(row) + "\n" for row in rows)


if __name__ == "__main__":
    main(*sys.argv[1:])
