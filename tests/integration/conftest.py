"""The local servers, and the shipped DAG's chain of tasks."""

from __future__ import annotations

import itertools
import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from google.cloud.bigquery import Client

from airflow_provider_talkpilot.bigquery import jobs as bigquery_jobs
from airflow_provider_talkpilot.sandbox import (
    BigQueryEmulator,
    Sandbox,
    SandboxSettings,
    StorageEmulator,
)
from airflow_provider_talkpilot.sandbox.eras import Era
from airflow_provider_talkpilot.staging.storage import parse_uri
from tests.integration.chain import DAY, Chain, Kill
from tests.integration.sensing import Connect
from tests.support.bigquery_gateway import Gateway, gateway_to
from tests.support.google import GoogleProject, cap_bytes
from tests.support.jobs import Jobs
from tests.support.strict_bigquery import StrictBigQueryEmulator


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark the tests of this folder, and leave out those that need another BigQuery."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker("integration")
    where = config.getoption("bigquery")
    left_out = [
        item
        for item in items
        if (where == "sandbox" and item.get_closest_marker("strict"))
        or (where == "google" and not item.get_closest_marker("google"))
    ]
    items[:] = [item for item in items if item not in left_out]
    config.hook.pytest_deselected(items=left_out)


@pytest.fixture(scope="session")
def google(request: pytest.FixtureRequest) -> GoogleProject | None:
    """The project of make test-google; None if the tests use an emulator."""
    if request.config.getoption("bigquery") != "google":
        return None
    names = ("project", "location", "bucket")
    return GoogleProject(*(request.config.getoption(f"google_{name}") for name in names))


@pytest.fixture(scope="session")
def bigquery_emulator(
    request: pytest.FixtureRequest,
    google: GoogleProject | None,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[BigQueryEmulator | GoogleProject]:
    """The BigQuery that `--bigquery` names, one for all tests."""
    cap_bytes()
    if google:
        yield google
        return
    is_strict = request.config.getoption("bigquery") == "strict"
    emulator = StrictBigQueryEmulator if is_strict else BigQueryEmulator
    with emulator(gcs_root=tmp_path_factory.mktemp("gcs")) as running:
        yield running


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
def table(bigquery: Client, google: GoogleProject | None) -> Iterator[str]:
    """The name of a table in a dataset of the test's own, which is deleted after the test.

    The table does not exist yet, and the dataset exists on Google only.
    """
    name = f"{bigquery.project}.talkpilot_test_{uuid4().hex[:12]}"
    if google:
        google.create_dataset(name)
    yield f"{name}.calls"
    bigquery.delete_dataset(name, delete_contents=True, not_found_ok=True)


@pytest.fixture
def environment(
    sandbox: Sandbox, bigquery_emulator: BigQueryEmulator, monkeypatch: pytest.MonkeyPatch
) -> dict[str, str]:
    """The environment variables of the connections; they are set."""
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
    request: pytest.FixtureRequest,
    google: GoogleProject | None,
    environment: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[str]:
    """A staging URI in an empty bucket, or in a folder of Google's; its files are deleted."""
    name = f"test-{uuid4().hex[:12]}"
    if google:
        name = f"{google.bucket}/{name}"
    else:
        storage: StorageEmulator = request.getfixturevalue("storage_emulator")
        for variable, value in storage.environment.items():
            monkeypatch.setenv(variable, value)
        storage.create_bucket(name)
    uri = f"gs://google_cloud_default@{name}/talkpilot"
    yield uri
    root = parse_uri(uri)
    root.fs.invalidate_cache()
    if found := root.fs.find(root.path):
        root.fs.rm(found)


@pytest.fixture
def gcsfs_bucket(bucket: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A staging URI in an empty bucket, through gcsfs's default class.

    That class reads from a gRPC service, which no emulator has, whether the bucket is flat. It is.
    """
    extended = pytest.importorskip("gcsfs.extended_gcsfs")

    async def flat(*_: object) -> Any:
        return extended.BucketType.NON_HIERARCHICAL

    monkeypatch.setattr(extended.ExtendedGcsFileSystem, "_get_bucket_type", flat)
    monkeypatch.setattr("gcsfs.GCSFileSystem", extended.ExtendedGcsFileSystem)
    # Airflow keeps one file system a connection.
    monkeypatch.setenv("AIRFLOW_CONN_GCSFS", os.environ["AIRFLOW_CONN_GOOGLE_CLOUD_DEFAULT"])
    uri = bucket.replace("google_cloud_default@", "gcsfs@")
    assert type(parse_uri(uri).fs) is extended.ExtendedGcsFileSystem
    return uri


@pytest.fixture(params=["folder", "bucket", "gcsfs_bucket"])
def anywhere(chain: Chain, request: pytest.FixtureRequest) -> Chain:
    """The chain, staging in a folder, or in a bucket through either class of gcsfs."""
    if request.param != "folder":
        chain.staging_uri = request.getfixturevalue(request.param)
    return chain


@pytest.fixture(scope="session")
def job_server() -> Jobs:
    """Starts processes that have Airflow loaded already."""
    return Jobs()


@pytest.fixture
def jobs(job_server: Jobs, environment: dict[str, str]) -> Jobs:
    """Runs tasks in processes of their own, on the same connections."""
    return job_server


@pytest.fixture
def kill(chain: Chain, jobs: Jobs) -> Kill:
    """Runs a task of the chain in a process that ends by SIGKILL.

    The process kills itself at its ``death``, or is killed when the sandbox is about to respond
    to its n-th ``request`` of these ``kinds``.
    """

    def kill(
        task: str,
        *manifest_uris: str,
        request: int = 0,
        kinds: str = "calls detail",
        **options: Any,
    ) -> None:
        requests = itertools.count(1)

        def before_request(kind: str, _: int) -> None:
            if kind in kinds.split() and next(requests) == request and jobs.process_id:
                os.kill(jobs.process_id, signal.SIGKILL)

        chain.sandbox.state.before_request = before_request
        ended = jobs.run(**chain.arguments(task, *manifest_uris, **options))
        chain.sandbox.state.before_request = None
        assert ended.killed, ended.error

    return kill


@pytest.fixture
def connect(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Connect:
    """Sets the connection of TalkPilot, with other values of some fields."""

    def connect(**fields: Any) -> None:
        connection = json.dumps({**sandbox.connection, **fields})
        monkeypatch.setenv("AIRFLOW_CONN_TALKPILOT_DEFAULT", connection)

    connect()
    return connect


@pytest.fixture
def log_of(capsys: pytest.CaptureFixture[str]) -> Callable[[], str]:
    """Returns what tasks and triggers logged: both Airflows print it here."""
    return lambda: capsys.readouterr().out


@pytest.fixture
def gateway(
    chain: Chain, bigquery_emulator: BigQueryEmulator, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Gateway]:
    """A gateway between the tasks and the emulator."""
    monkeypatch.setattr(bigquery_jobs, "SECONDS_BEFORE_DEFERRAL", 0.2)
    with gateway_to(bigquery_emulator.url) as running:
        monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", running.url)
        yield running
