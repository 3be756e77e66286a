"""How long a worker is held while an hour's limit is used up again and again.

The hour is scaled down: 20 requests in 12 seconds. The wait between two stretches of work is the
trigger's, outside of any worker. ``python -m benchmarks.slot`` prints the figures.
"""

from __future__ import annotations

import logging
import tempfile
import time
from datetime import UTC, datetime, timedelta

from airflow.providers.common.compat.sdk import ObjectStoragePath

from airflow_provider_talkpilot.api import CallFilters, Interval, Quota, TalkPilotClient
from airflow_provider_talkpilot.api.errors import QuotaExhaustedError
from airflow_provider_talkpilot.sandbox import Sandbox
from airflow_provider_talkpilot.staging.enrich.enrichment import enrich_calls
from airflow_provider_talkpilot.staging.extract.extraction import extract_calls
from airflow_provider_talkpilot.staging.extract.walker import ExtractOptions
from airflow_provider_talkpilot.staging.ledger import StagedLedger
from airflow_provider_talkpilot.staging.names import interval_folder
from airflow_provider_talkpilot.staging.storage import parse_uri

CALLS = 60
PER_HOUR, HOUR_SECONDS = 20, 12.0
DEFER_AFTER = timedelta(seconds=2)


def main() -> None:
    """Measure and print."""
    logging.disable(logging.INFO)
    interval = Interval.parse("2026-03-16", "2026-03-17")
    held, defers = 0.0, 0
    with (
        tempfile.TemporaryDirectory() as root,
        Sandbox(
            days=1,
            agents=1,
            calls_per_day=CALLS,
            requests_per_hour=PER_HOUR,
            hour_seconds=HOUR_SECONDS,
        ) as sandbox,
    ):
        folder = interval_folder(
            parse_uri(root),
            dag_id="bench",
            connection_id="bench",
            agent_ids=None,
            filters=CallFilters(),
            interval=interval,
        )
        began = time.perf_counter()
        while True:
            working = time.perf_counter()
            quota = Quota(
                max_wait=DEFER_AFTER.total_seconds(),
                ledger=StagedLedger(ObjectStoragePath(f"file://{root}") / "_quota"),
                hour=HOUR_SECONDS,
            )
            try:
                with TalkPilotClient(sandbox.base_url, sandbox.api_key, quota=quota) as client:
                    _, calls = extract_calls(client, folder, ExtractOptions(interval))
                    details, _ = enrich_calls(client, calls)
            except QuotaExhaustedError as exhausted:
                held += time.perf_counter() - working
                defers += 1
                wait = exhausted.resume_at - datetime.now(UTC)  # as a trigger does
                time.sleep(max(0.0, wait.total_seconds()))
            else:
                held += time.perf_counter() - working
                break
        whole = time.perf_counter() - began
        refused = sandbox.counters["refused"]
    if details.rows != CALLS:
        raise RuntimeError(f"{details.rows} details of {CALLS}")
    print(f"{CALLS} calls with details, {PER_HOUR} requests in {HOUR_SECONDS:.0f} s:")
    print(f"{whole:.1f} s in all, {defers} deferrals, {refused} refusals;")
    print(f"a worker held for {held:.1f} s, {held / whole:.0%} of the time")


if __name__ == "__main__":
    main()
