"""A thousand agents and a million calls in one interval: what each task takes, beside a day of it.

``python -m benchmarks.scale [CALLS] [AGENTS]`` runs the tasks in processes of their own against a
server that is quick to respond and emulators of BigQuery and Cloud Storage. It prints time, memory,
and how large everything is that Airflow or staging keeps. Of the details the table has all but one
in 256, as in a re-sync.
"""

from __future__ import annotations

import json
import os
import platform
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from typing import Any, NamedTuple

from airflow.providers.common.compat.sdk import BaseOperator

from airflow_provider_talkpilot.bigquery.client import bigquery_client
from airflow_provider_talkpilot.operators.bigquery import TalkPilotLoadCallsOperator
from airflow_provider_talkpilot.operators.calls import (
    TalkPilotEnrichCallsOperator,
    TalkPilotExtractCallsOperator,
)
from airflow_provider_talkpilot.operators.clean import TalkPilotCleanStagingOperator
from airflow_provider_talkpilot.sandbox import BigQueryEmulator, StorageEmulator
from airflow_provider_talkpilot.sandbox.emulators.processes import GuardedProcess
from airflow_provider_talkpilot.sandbox.settings import fake_api_key
from airflow_provider_talkpilot.staging.manifests import (
    AnyManifest,
    load_manifest,
)
from airflow_provider_talkpilot.staging.storage import get_text, parse_uri
from tests.support.jobs import Jobs

CALLS, AGENTS, DAYS = 1_000_000, 1_000, 100
FIRST = date(2026, 1, 1)
TABLE = "demo.scale.calls"
START_SECONDS, TASK_SECONDS = 180, 1500
LIMIT_MB = 60


class Measured(NamedTuple):
    """What a task took.

    :param xcom: bytes of all its XComs, as JSON.
    """

    seconds: float
    peak_mb: float
    xcom: int


def main(calls: int = CALLS, agents: int = AGENTS) -> None:
    """Measure and print."""
    print(f"{os.cpu_count()} processors, Python {platform.python_version()}")
    print(f"{agents:,} agents; {calls // DAYS:,} calls in a day, then {calls:,} in {DAYS} days")
    ends = [FIRST + timedelta(days) for days in (1, DAYS)]
    intervals = [(FIRST.isoformat(), end.isoformat()) for end in ends]
    jobs = Jobs(TASK_SECONDS)
    with _services(calls, agents):
        table = {"table": TABLE}
        staged = {"staging_uri": _staging()}
        lists = _both(
            jobs,
            "extract_calls",
            TalkPilotExtractCallsOperator,
            [staged | {"interval": interval} for interval in intervals],
        )
        manifests = [_describe(uri) for uri in lists]
        # A day's walk beside the files of all calls, and a walk of all beside a day's.
        _both(
            jobs,
            "clean_staging",
            TalkPilotCleanStagingOperator,
            [staged | {"manifest_uris": [uri], "keep": True} for uri in lists],
        )
        loads = [table | {"manifest_uri": uri} for uri in lists]
        loaded = _both(jobs, "load_calls", TalkPilotLoadCallsOperator, loads)
        for load, manifest in zip(loaded, manifests, strict=True):
            if not load["rows"] == load["live"] == manifest.rows:
                raise RuntimeError(f"{manifest.rows} calls are staged: {load}")
        _know_details()
        details = _both(jobs, "enrich_calls", TalkPilotEnrichCallsOperator, loads)
        for uri in details:
            _describe(uri)
        loads = [table | {"manifest_uri": uri} for uri in details]
        _both(jobs, "load_details", TalkPilotLoadCallsOperator, loads)


def _both(
    jobs: Jobs, name: str, operator: type[BaseOperator], arguments: list[dict[str, Any]]
) -> list[Any]:
    """Run a task for a day, and for all calls; return both results."""
    (small, one), (large, other) = [_measure(jobs, name, operator, a) for a in arguments]
    more = large.peak_mb - small.peak_mb
    print(f"{name:<16}{more:>8.0f} MB more", flush=True)
    if more > LIMIT_MB:
        raise RuntimeError(f"{name} takes {more:.0f} MB more")
    return [one, other]


def _measure(
    jobs: Jobs, name: str, operator: type[BaseOperator], arguments: dict[str, Any]
) -> tuple[Measured, Any]:
    began = time.perf_counter()
    ended = jobs.run(operator, **arguments)
    returned = ended.returned
    assert ended.outcome
    xcoms = [returned, *ended.outcome.xcoms.values()]
    measured = Measured(
        time.perf_counter() - began,
        ended.peak_kib / 1024,
        sum(len(json.dumps(xcom, default=str)) for xcom in xcoms),
    )
    print(
        f"  {name:<16}{measured.seconds:>8.1f} s{measured.peak_mb:>8.0f} MB"
        f"{measured.xcom:>8,} bytes of XCom",
        flush=True,
    )
    return measured, returned


def _describe(uri: str) -> AnyManifest:
    path = parse_uri(uri)
    text = get_text(path) or ""
    manifest = load_manifest(path)
    sizes = [part.bytes for part in manifest.parts]
    requests = sum(manifest.requests.values())
    print(
        f"    {manifest.rows:,} rows in {len(sizes)} part(s) of up to "
        f"{max(sizes, default=0) / 1e6:.1f} MB, {requests:,} requests; "
        f"manifest {len(text):,} bytes, {manifest.agent_count:,} agents",
        flush=True,
    )
    return manifest


def _know_details() -> None:
    """Write the table as if all details but one in 256 had been loaded."""
    with bigquery_client("google_cloud_default") as client:
        client.query(
            f"UPDATE `{TABLE}` SET detail_updated_at = updated_at, detail_synced_at = synced_at, "
            "final_score = 7 WHERE detail_synced_at IS NULL AND NOT ENDS_WITH(id, '00')"
        ).result()


def _staging() -> str:
    return os.environ["AIRFLOW_VAR_TALKPILOT_STAGING_URI"]


@contextmanager
def _services(calls: int, agents: int) -> Iterator[None]:
    """Start TalkPilot, BigQuery and Cloud Storage; set this process's environment to them."""
    command = [sys.executable, "-m", "benchmarks.fast_server", *map(str, (calls, agents, DAYS))]
    server = GuardedProcess(command)
    try:
        host = server.wait_for(lambda: server.log().strip() or None, START_SECONDS)
        connection = {"conn_type": "talkpilot", "host": host, "password": fake_api_key("scale")}
        os.environ["AIRFLOW_CONN_TALKPILOT_DEFAULT"] = json.dumps(connection)
        with BigQueryEmulator() as bigquery, StorageEmulator(bigquery.gcs_root) as storage:
            os.environ.update(bigquery.environment | storage.environment)
            os.environ["AIRFLOW_VAR_TALKPILOT_STAGING_URI"] = storage.create_bucket("talkpilot")
            yield
    finally:
        server.stop()


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
