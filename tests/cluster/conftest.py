"""A cluster, and the services that its tasks talk to."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow_provider_talkpilot.sandbox import BigQueryEmulator, Sandbox, StorageEmulator
from tests.cluster.cluster import Cluster
from tests.cluster.gate import Gate
from tests.cluster.scene import (
    AGENTS,
    BUCKET,
    CALLS,
    DAY,
    RETRY_AFTER,
    SCARCE_CALLS,
    SCARCE_HOUR,
    Scene,
    add_organisations,
)
from tests.support.ports import held_port
from tests.system.running import REPOSITORY

DAGS = (
    REPOSITORY / "examples" / "talkpilot_organisations.py",
    Path(__file__).parent / "dags" / "talkpilot_deferring.py",
)

# A line for each look at Airflow says nothing.
logging.getLogger("httpx").setLevel(logging.WARNING)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in this folder runs a cluster."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker("cluster")


@pytest.fixture
def scene(bigquery_emulator: BigQueryEmulator, tmp_path: Path) -> Iterator[Scene]:
    """Four organisations with ten agents each, and one key with little quota."""
    # The servers that go away for a while come back under the same address.
    with (
        Gate(
            bigquery_emulator.url, ["BEGIN TRANSACTION", ".cluster.calls`", "detail_found"]
        ) as gate,
        held_port() as storage_port,
        held_port() as port,
        StorageEmulator(bigquery_emulator.gcs_root, port=storage_port) as storage,
        Sandbox(
            port=port,
            seed=11,
            days=[DAY],
            calls_per_day=CALLS,
            agents=AGENTS,
            requests_per_minute=None,
            requests_per_hour=None,
        ) as sandbox,
        Sandbox(
            seed=12,
            days=[DAY],
            calls_per_day=SCARCE_CALLS,
            requests_per_minute=None,
            requests_per_hour=SCARCE_HOUR,
            hour_seconds=1e6,  # it ends when the test gives the quota back
            retry_after_override=RETRY_AFTER,
        ) as scarce,
    ):
        storage.create_bucket(BUCKET)
        settings = {
            **bigquery_emulator.environment,
            "BIGQUERY_EMULATOR_HOST": gate.url,
            **storage.environment,
            **add_organisations(sandbox),
            "AIRFLOW_CONN_TALKPILOT_SCARCE": json.dumps(scarce.connection),
            "AIRFLOW_VAR_TALKPILOT_STAGING_URI": f"gs://google_cloud_default@{BUCKET}/talkpilot",
            "AIRFLOW_VAR_TALKPILOT_BIGQUERY_TABLE": f"{bigquery_emulator.project}.cluster.calls",
            "AIRFLOW_VAR_DEFERRING_TABLE": f"{bigquery_emulator.project}.deferring.calls",
        }
        with Cluster(tmp_path, DAGS, settings) as cluster:
            yield Scene(cluster, sandbox, scarce, bigquery_emulator, storage, gate)
