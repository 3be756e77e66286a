"""dlt: its REST client, a transformer with deferred requests, and files as the destination.

What it leaves is what ours leaves: files in a folder that a load job can read. By dlt's documents:
https://dlthub.com/docs/general-usage/http/rest-client for the client,
https://dlthub.com/docs/reference/performance for requests side by side, and
https://dlthub.com/docs/general-usage/incremental/cursor for ``interval`` and ``cursor``.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from typing import Any

from benchmarks.figures import IN_FLIGHT, measured


def main(kind: str, base_url: str, api_key: str, root: str, start: str, end: str) -> None:
    """Write an interval's list, or its details.

    :param kind: ``list``; ``interval`` for a list that goes on from the last run; ``details``,
        and ``resumed`` after a kill; ``cursor`` for details of what changed since the last run.
    """
    os.environ |= {
        "DLT_DATA_DIR": root,
        # Where there is a limit its default number of workers is kinder.
        "EXTRACT__WORKERS": "5" if "BENCH_LIMIT" in os.environ else str(IN_FLIGHT),
        "DESTINATION__FILESYSTEM__BUCKET_URL": f"file://{root}/out",
        "RUNTIME__DLTHUB_TELEMETRY": "false",
        "RUNTIME__LOG_LEVEL": "CRITICAL",
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
    is_list = kind in ("list", "interval")

    changed = dlt.sources.incremental("updated_at")
    created = dlt.sources.incremental("created_at", initial_value=f"{start}T00:00:00.000Z")

    @dlt.resource(primary_key="id", write_disposition="merge", selected=is_list)
    def calls(created: Any = created if kind == "interval" else None) -> Iterator[Any]:
        after = created.start_value if created else start
        for agents in client.paginate("agents", params={"limit": 100}):
            for agent in agents:
                params = {"limit": 100, "include_deleted": "true", "from": after, "to": end}
                yield from client.paginate(f"agents/{agent['id']}/calls", params=params)

    @dlt.transformer(primary_key="id", write_disposition="merge")
    def details(page: list[dict[str, Any]]) -> Iterator[Any]:
        @dlt.defer
        def detail(call: dict[str, Any]) -> Any:
            return client.get(f"agents/{call['agent_id']}/calls/{call['id']}").json()

        for call in page:
            yield detail(call)

    @dlt.source
    def talkpilot() -> Any:
        listed = calls()
        if kind == "cursor":
            listed.apply_hints(incremental=changed)
        return (listed,) if is_list else (listed, listed | details)

    pipeline = dlt.pipeline("bench", destination="filesystem", dataset_name="bench")
    source = talkpilot()
    with measured():
        pipeline.run(source, loader_file_format="jsonl")


if __name__ == "__main__":
    main(*sys.argv[1:])
