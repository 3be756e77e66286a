"""One contestant: this package's extraction, as its operators run it, without Airflow's start-up.

``python -m benchmarks.ours KIND BASE_URL API_KEY FOLDER FROM TO`` prints its figures as JSON.
"""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path

from airflow.providers.common.compat.sdk import ObjectStoragePath

from airflow_provider_talkpilot.api import CallFilters, Interval, Quota, TalkPilotClient
from airflow_provider_talkpilot.staging.enrich.enrichment import enrich_calls
from airflow_provider_talkpilot.staging.enrich.options import EnrichOptions
from airflow_provider_talkpilot.staging.extract.extraction import extract_calls
from airflow_provider_talkpilot.staging.extract.walker import ExtractOptions
from airflow_provider_talkpilot.staging.ledger import StagedLedger
from airflow_provider_talkpilot.staging.names import interval_folder
from airflow_provider_talkpilot.staging.storage import parse_uri
from benchmarks.figures import IN_FLIGHT, measured


def main(kind: str, base_url: str, api_key: str, root: str, start: str, end: str) -> None:
    """Stage an interval's list, and for ``details`` and ``resumed`` the details too."""
    logging.disable(logging.INFO)
    interval = Interval.parse(start, end)
    folder = interval_folder(
        parse_uri(f"file://{root}"),
        dag_id="bench",
        connection_id="bench",
        agent_ids=None,
        filters=CallFilters(),
        interval=interval,
    )
    options = EnrichOptions(concurrency=IN_FLIGHT)
    with measured(), TalkPilotClient(base_url, api_key, quota=_quota(root)) as client:
        _, path = extract_calls(client, folder, ExtractOptions(interval))
        if kind in ("details", "resumed"):
            enrich_calls(client, path, options=options)


def _quota(root: str) -> Quota:
    """Create the quota of tasks that share staging, with the server's short minute."""
    if "BENCH_LIMIT" not in os.environ:
        return Quota()
    minute = float(os.environ["BENCH_LIMIT"].split()[1])
    ledger = StagedLedger(ObjectStoragePath(f"file://{Path(root).parent}") / "_quota")
    return Quota(ledger=ledger, minute=minute, hour=60 * minute)


if __name__ == "__main__":
    main(*sys.argv[1:])
