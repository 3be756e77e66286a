"""One contestant: this package's extraction, as its operators run it, without Airflow's start-up.

``python -m benchmarks.ours CASE BASE_URL API_KEY FOLDER`` prints its figures as JSON.
"""

from __future__ import annotations

import json
import logging
import resource
import sys
import time

from airflow_provider_talkpilot.api import CallFilters, Interval, TalkPilotClient
from airflow_provider_talkpilot.staging.area import interval_folder
from airflow_provider_talkpilot.staging.enrich import EnrichOptions, enrich_calls
from airflow_provider_talkpilot.staging.extract import ExtractPlan, extract_calls
from benchmarks.server import DAY, NEXT_DAY


def main(case: str, base_url: str, api_key: str, root: str) -> None:
    """Run one case (``list`` or ``details``) and print what it took."""
    logging.disable(logging.INFO)
    interval = Interval.parse(DAY, NEXT_DAY)
    folder = interval_folder(
        f"file://{root}",
        dag_id="bench",
        connection_id="bench",
        agent_ids=None,
        filters=CallFilters(),
        interval=interval,
    )
    options = EnrichOptions()
    started, cpu = time.perf_counter(), time.process_time()
    with TalkPilotClient(base_url, api_key) as client:
        manifest, path = extract_calls(client, folder, ExtractPlan(interval))
        if case == "details":
            manifest, _ = enrich_calls(client, path, options=options)
        spent = sum(client.requests.values())
    figures = {
        "seconds": time.perf_counter() - started,
        "cpu": time.process_time() - cpu,
        "rows": manifest.rows,
        "requests": spent,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main(*sys.argv[1:])
