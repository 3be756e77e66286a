"""What recordings add to details: 2,000 calls with 200 kB each, every response 50 ms away.

``python -m benchmarks.recordings`` prints seconds and peak memory without and with recordings, each
the best of some tries. First it does so at the highest limit that a key can have, 600 requests a
minute, once: that takes seven minutes, and says what users see. Then without any limit: there the
processor is what holds a task up. The server has a process of its own, and so has each try.
"""

from __future__ import annotations

import json
import logging
import resource
import subprocess
import sys
import tempfile
import time

from airflow_provider_talkpilot.api import CallFilters, Interval, TalkPilotClient
from airflow_provider_talkpilot.recordings.archive import RecordingArchive
from airflow_provider_talkpilot.sandbox import Sandbox
from airflow_provider_talkpilot.staging.enrich.enrichment import enrich_calls
from airflow_provider_talkpilot.staging.enrich.options import EnrichOptions
from airflow_provider_talkpilot.staging.extract.extraction import extract_calls
from airflow_provider_talkpilot.staging.extract.walker import ExtractOptions
from airflow_provider_talkpilot.staging.names import interval_folder
from airflow_provider_talkpilot.staging.storage import parse_uri

CALLS, BYTES, LATENCY = 2_000, 200_000, 0.05
# Requests a minute, and how often each is tried.
LIMITS: tuple[tuple[int | None, int], ...] = ((600, 1), (None, 3))
DAY = Interval.parse("2026-03-16", "2026-03-17")


def main() -> None:
    """Measure and print."""
    for limit, tries in LIMITS:
        with Sandbox(
            days=1,
            calls_per_day=CALLS,
            requests_per_minute=limit,
            requests_per_hour=None,
            latency_seconds=LATENCY,
            recording_bytes=BYTES,
            dead_recording_every=0,
        ) as sandbox:
            for mode in ("without", "with"):
                command = [sys.executable, "-m", "benchmarks.recordings"]
                command += [mode, sandbox.base_url, sandbox.api_key]
                found = []
                for _ in range(tries):
                    sandbox.reset_quota()
                    run = subprocess.run(command, check=True, stdout=subprocess.PIPE)
                    found.append(json.loads(run.stdout))
                best = min(found, key=lambda each: each["seconds"])
                print(limit or "no limit", mode, best, flush=True)


def one(mode: str, base_url: str, api_key: str) -> None:
    """Stage the list, then measure the details."""
    logging.disable(logging.INFO)
    with tempfile.TemporaryDirectory() as root, TalkPilotClient(base_url, api_key) as client:
        folder = interval_folder(
            parse_uri(f"{root}/staging"),
            dag_id="bench",
            connection_id="bench",
            agent_ids=None,
            filters=CallFilters(),
            interval=DAY,
        )
        _, path = extract_calls(client, folder, ExtractOptions(DAY))
        archive = None
        if mode == "with":
            archive = RecordingArchive(parse_uri(f"{root}/recordings"), allow_loopback=True)
        began = time.monotonic()
        manifest, _ = enrich_calls(client, path, options=EnrichOptions(archive=archive))
        figures = {
            "seconds": round(time.monotonic() - began, 2),
            "peak_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
            "recordings": manifest.recordings,
        }
        print(json.dumps(figures))


if __name__ == "__main__":
    one(*sys.argv[1:]) if sys.argv[1:] else main()
