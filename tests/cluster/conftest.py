"""A cluster, and the servers that its tasks use."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow_provider_talkpilot.sandbox import BigQueryEmulator, Sandbox, StorageEmulator
from tests.cluster.cluster import Cluster
from tests.cluster.scene import AGENTS, BUCKET, CALLS, Scene, add_organisations
from tests.support.bigquery_gateway import gateway_to
from tests.support.ports import held_port
from tests.system.conftest import DAY, scarce_sandbox
from tests.system.running import REPOSITORY

DAGS = (
    REPOSITORY / "examples" / "talkpilot_organisations.py",
    REPOSITORY / "tests" / "system" / "dags" / "talkpilot_scarce_quota.py",
)

# httpx would log a line for each look at Airflow.
logging.getLogger("httpx").setLevel(logging.WARNING)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in this folder runs a cluster."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker("cluster")


@pytest.fixture
def scene(bigquery_emulator: BigQueryEmulator, tmp_path: Path) -> Iterator[Scene]:
    """Four organisations with ten agents each, and one key with little quota."""
    # The servers that stop for a while start again under the same address.
    with (
        gateway_to(bigquery_emulator.url) as gateway,
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
        scarce_sandbox() as scarce,
    ):
        # The merge of details, which would end before the test could kill its worker.
        gateway.hold_back("BEGIN TRANSACTION", ".cluster.calls`", "detail_found")
        storage.create_bucket(BUCKET)
        settings = {
            **bigquery_emulator.environment,
            "BIGQUERY_EMULATOR_HOST": gateway.url,
            **storage.environment,
            **add_organisations(sandbox),
            "AIRFLOW_CONN_TALKPILOT_SCARCE": json.dumps(scarce.connection),
            "AIRFLOW_VAR_TALKPILOT_STAGING_URI": f"gs://google_cloud_default@{BUCKET}/talkpilot",
            "AIRFLOW_VAR_TALKPILOT_BIGQUERY_TABLE": f"{bigquery_emulator.project}.cluster.calls",
            "AIRFLOW_VAR_SCARCE_TABLE": f"{bigquery_emulator.project}.scarce.calls",
        }
        with Cluster(tmp_path, DAGS, settings) as cluster:
            yield Scene(cluster, sandbox, scarce, bigquery_emulator, storage, gateway)
