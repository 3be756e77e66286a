"""A thousand agents and a million calls in one interval: what each task takes, beside a day of it.

``python -m benchmarks.scale [CALLS] [AGENTS]`` runs the tasks in processes of their own against a
server that is quick to answer and emulators of BigQuery and Cloud Storage. It prints time, memory,
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

from airflow_provider_talkpilot.operators.bigquery import TalkPilotLoadCallsOperator
from airflow_provider_talkpilot.operators.calls import (
    TalkPilotEnrichCallsOperator,
    TalkPilotExtractCallsOperator,
)
from airflow_provider_talkpilot.operators.clients import bigquery_client
from airflow_provider_talkpilot.operators.staging import TalkPilotCleanStagingOperator
from airflow_provider_talkpilot.sandbox import BigQueryEmulator, StorageEmulator
from airflow_provider_talkpilot.sandbox.processes import GuardedProcess
from airflow_provider_talkpilot.sandbox.settings import fake_api_key
from airflow_provider_talkpilot.staging.manifest import Manifest
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


class Manifests(NamedTuple):
    """The URIs of what two tasks staged."""

    calls: str
    details: str


def main(calls: int = CALLS, agents: int = AGENTS) -> None:
    """Measure and print."""
    print(f"{os.cpu_count()} processors, Python {platform.python_version()}")
    with _services(calls, agents), Jobs(TASK_SECONDS) as jobs:
        staged, tasks = [], dict[str, list[Measured]]()
        for days in (1, DAYS):
            interval = FIRST.isoformat(), (FIRST + timedelta(days)).isoformat()
            print(f"\n{calls // DAYS * days:,} calls of {agents:,} agents in {days} day(s)")
            staged.append(_run(jobs, tasks, interval))
        # A day's walk beside a million staged calls, and a million's beside a day's.
        for manifests in staged:
            clean = TalkPilotCleanStagingOperator
            uris = list(manifests)
            arguments = {"staging_uri": _staging(), "manifest_uris": uris, "keep": True}
            tasks.setdefault("clean_staging", []).append(
                _measure(jobs, "clean_staging", clean, arguments)[0]
            )
    print("\ntask                 MB at a day   MB at all   more MB")
    for name, (small, large) in tasks.items():
        more = large.peak_mb - small.peak_mb
        print(f"{name:<20}{small.peak_mb:>12.0f}{large.peak_mb:>12.0f}{more:>10.0f}")
        if more > LIMIT_MB:
            raise RuntimeError(f"{name} takes {more:.0f} MB more")


def _run(jobs: Jobs, tasks: dict[str, list[Measured]], interval: tuple[str, str]) -> Manifests:
    """The shipped DAG's tasks, but for the last."""

    def run(name: str, operator: type[BaseOperator], **arguments: Any) -> Any:
        measured, returned = _measure(jobs, name, operator, arguments)
        tasks.setdefault(name, []).append(measured)
        return returned

    extract = TalkPilotExtractCallsOperator
    calls = run("extract_calls", extract, staging_uri=_staging(), interval=interval)
    _print_staged(calls)
    loaded = run("load_calls", TalkPilotLoadCallsOperator, manifest_uri=calls, table=TABLE)
    manifest = Manifest.load(parse_uri(calls))
    if not loaded["rows"] == loaded["live"] == manifest.rows:
        raise RuntimeError(f"{manifest.rows} calls are staged: {loaded}")
    _know_details()
    details = run("enrich_calls", TalkPilotEnrichCallsOperator, manifest_uri=calls, table=TABLE)
    _print_staged(details)
    run("load_details", TalkPilotLoadCallsOperator, manifest_uri=details, table=TABLE)
    return Manifests(calls, details)


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


def _print_staged(uri: str) -> None:
    path = parse_uri(uri)
    text = get_text(path) or ""
    manifest = Manifest.parse(text, path)
    sizes = [part.bytes for part in manifest.parts]
    requests = sum(manifest.requests.values())
    print(
        f"    {manifest.rows:,} rows in {len(sizes)} part(s) of up to "
        f"{max(sizes, default=0) / 1e6:.1f} MB, {requests:,} requests; "
        f"manifest {len(text):,} bytes, {len(manifest.agents):,} walks"
    )


def _know_details() -> None:
    """As if the details had been loaded, but for one in 256."""
    job = bigquery_client("google_cloud_default").query(
        f"UPDATE `{TABLE}` SET detail_updated_at = updated_at, detail_synced_at = synced_at, "
        "final_score = 7 WHERE detail_synced_at IS NULL AND NOT ENDS_WITH(id, '00')"
    )
    job.result()


def _staging() -> str:
    return os.environ["AIRFLOW_VAR_TALKPILOT_STAGING_URI"]


@contextmanager
def _services(calls: int, agents: int) -> Iterator[None]:
    """TalkPilot, BigQuery and Cloud Storage; this process's environment names them."""
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
