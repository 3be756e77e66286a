"""One contestant: dlt, its REST client, details by ``defer`` with 10 workers.

After https://dlthub.com/docs/examples/transformers: a resource yields pages, a transformer defers
one request a call. Measured is a run to its filesystem destination, as it stages for BigQuery: it
leaves what ours leaves, files in the staging folder that a load job can read.
``python dlt_calls.py CASE BASE_URL API_KEY FOLDER`` prints its figures as JSON.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections.abc import Iterator
from typing import Any

WORKERS = "10"


def main(case: str, base_url: str, api_key: str, root: str) -> None:
    """Run one case (``list`` or ``details``) and print what it took."""
    os.environ |= {
        "DLT_DATA_DIR": root,
        "EXTRACT__WORKERS": WORKERS,
        "DESTINATION__FILESYSTEM__BUCKET_URL": f"file://{root}/staging",
        "RUNTIME__DLTHUB_TELEMETRY": "false",
        "RUNTIME__LOG_LEVEL": "ERROR",
    }
    import dlt
    from dlt.sources.helpers.rest_client import RESTClient
    from dlt.sources.helpers.rest_client.auth import APIKeyAuth
    from dlt.sources.helpers.rest_client.paginators import PageNumberPaginator

    client = RESTClient(
        base_url,
        auth=APIKeyAuth(name="X-API-Key", api_key=api_key, location="header"),
        paginator=PageNumberPaginator(base_page=1, total_path="pagination.pages"),
        data_selector="data",
    )
    counts = {"rows": 0, "requests": 0}

    @dlt.resource(primary_key="id", write_disposition="merge", selected=case == "list")
    def calls() -> Iterator[Any]:
        for agents in client.paginate("agents", params={"limit": 100}):
            counts["requests"] += 1
            for agent in agents:
                path = f"agents/{agent['id']}/calls"
                window = {"from": "2026-03-15T23:59:59Z", "to": "2026-03-17T00:00:01Z"}
                params = {"limit": 100, "include_deleted": "true", **window}
                for page in client.paginate(path, params=params):
                    counts["requests"] += 1
                    counts["rows"] += len(page) if case == "list" else 0
                    yield page

    @dlt.transformer(primary_key="id", write_disposition="merge")
    def details(page: list[dict[str, Any]]) -> Iterator[Any]:
        @dlt.defer
        def detail(call: dict[str, Any]) -> Any:
            return client.get(f"agents/{call['agent_id']}/calls/{call['id']}").json()

        for call in page:
            counts["requests"] += 1
            counts["rows"] += 1
            yield detail(call)

    @dlt.source
    def talkpilot() -> Any:
        listed = calls()
        return (listed,) if case == "list" else (listed, listed | details)

    pipeline = dlt.pipeline("bench", destination="filesystem", dataset_name="bench")
    source = talkpilot()
    started, cpu = time.perf_counter(), time.process_time()
    pipeline.run(source, loader_file_format="jsonl")
    figures = {
        "seconds": time.perf_counter() - started,
        "cpu": time.process_time() - cpu,
        **counts,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main(*sys.argv[1:])
