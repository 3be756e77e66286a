"""The local servers, and the chain of tasks that the shipped DAG is made of."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from google.cloud.bigquery import Client

from airflow_provider_talkpilot.sandbox import (
    BigQueryEmulator,
    Sandbox,
    SandboxSettings,
    StorageEmulator,
)
from airflow_provider_talkpilot.sandbox.eras import Era
from tests.integration.chain import DAY, Chain
from tests.integration.sensing import Connect
from tests.support.jobs import Jobs
from tests.support.strict_bigquery import StrictBigQueryEmulator


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Everything in this folder talks to a local server, some to one that is not always there."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker("integration")
    if config.getoption("bigquery") != "strict":
        left_out = [item for item in items if item.get_closest_marker("strict")]
        items[:] = [item for item in items if item not in left_out]
        config.hook.pytest_deselected(items=left_out)


@pytest.fixture(scope="session")
def bigquery_emulator(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[BigQueryEmulator]:
    """The BigQuery emulator that `--bigquery` names, one for all tests."""
    is_strict = request.config.getoption("bigquery") == "strict"
    emulator = StrictBigQueryEmulator if is_strict else BigQueryEmulator
    with emulator(gcs_root=tmp_path_factory.mktemp("gcs")) as running:
        yield running


@pytest.fixture(scope="session")
def shared_sandbox() -> Iterator[Sandbox]:
    """One server for all tests; each gets it as good as new."""
    with Sandbox(days=1, calls_per_day=0) as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(shared_sandbox: Sandbox, era: Era) -> Sandbox:
    """Two agents, two days, 46 calls a day, of every kind; no rate limits."""
    settings = SandboxSettings(
        era=era,
        days=2,
        start=DAY,
        calls_per_day=46,
        unparsable_transcripts=2,
        requests_per_minute=None,
        requests_per_hour=None,
    )
    shared_sandbox.reset(**settings.model_dump())
    return shared_sandbox


@pytest.fixture(scope="session")
def bigquery(bigquery_emulator: BigQueryEmulator) -> Client:
    """A client of the BigQuery emulator."""
    return bigquery_emulator.client()


@pytest.fixture
def table() -> str:
    """A table, not there yet, in a dataset of the test's own, not there yet."""
    return f"demo.test_{uuid4().hex[:12]}.calls"


@pytest.fixture
def environment(
    sandbox: Sandbox, bigquery_emulator: BigQueryEmulator, monkeypatch: pytest.MonkeyPatch
) -> dict[str, str]:
    """The connections, as environment variables that are set."""
    environment = {**sandbox.environment, **bigquery_emulator.environment}
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return environment


@pytest.fixture
def chain(
    sandbox: Sandbox, environment: dict[str, str], bigquery: Client, table: str, tmp_path: Path
) -> Chain:
    """The shipped DAG's tasks, staging in a folder."""
    return Chain(sandbox, bigquery, table, (tmp_path / "staging").as_uri())


@pytest.fixture
def bucket(
    storage_emulator: StorageEmulator,
    environment: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> str:
    """A staging URI in an empty bucket."""
    for name, value in storage_emulator.environment.items():
        monkeypatch.setenv(name, value)
    name = f"test-{uuid4().hex[:12]}"
    storage_emulator.create_bucket(name)
    return f"gs://google_cloud_default@{name}/talkpilot"


@pytest.fixture(params=["folder", "bucket"])
def anywhere(chain: Chain, request: pytest.FixtureRequest) -> Chain:
    """The chain, staging in a folder or in a bucket."""
    if request.param == "bucket":
        chain.staging_uri = request.getfixturevalue("bucket")
    return chain


@pytest.fixture(scope="session")
def job_server() -> Jobs:
    """Makes processes that have Airflow loaded already."""
    return Jobs()


@pytest.fixture
def jobs(job_server: Jobs, environment: dict[str, str]) -> Jobs:
    """Runs tasks in processes of their own, on the same connections."""
    return job_server


@pytest.fixture
def connect(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Connect:
    """Sets the connection, with fields instead of the right ones."""

    def connect(**fields: Any) -> None:
        connection = json.dumps({**sandbox.connection, **fields})
        monkeypatch.setenv("AIRFLOW_CONN_TALKPILOT_DEFAULT", connection)

    connect()
    return connect


@pytest.fixture
def log_of(capsys: pytest.CaptureFixture[str]) -> Callable[[], str]:
    """Gives what tasks and triggers logged: both Airflows print it here."""
    return lambda: capsys.readouterr().out
