"""Fixtures for tests of DAGs: a TalkPilot, a BigQuery and a Cloud Storage on this machine.

Nothing is imported before a fixture is used.

>>> def test_my_dag(talkpilot_sandbox, bigquery_emulator, monkeypatch):
...     for name, value in talkpilot_sandbox.environment.items():
...         monkeypatch.setenv(name, value)
...     for name, value in bigquery_emulator.environment.items():
...         monkeypatch.setenv(name, value)
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from airflow_provider_talkpilot.sandbox.bigquery import BigQueryEmulator
    from airflow_provider_talkpilot.sandbox.server import Sandbox
    from airflow_provider_talkpilot.sandbox.storage import StorageEmulator


@pytest.fixture
def talkpilot_sandbox() -> Iterator[Sandbox]:
    """A running :class:`Sandbox` with fresh data: seven days from 2026-03-16, no rate limit.

    Set ``talkpilot_sandbox.settings`` for another behaviour, or call
    ``talkpilot_sandbox.reset(days=…, calls_per_day=…)`` for other data. It serves the API as it
    is now; ``reset(era="spring")`` serves that of March 2026. Read ``environment`` after that:
    the address differs.
    """
    from airflow_provider_talkpilot.sandbox.server import Sandbox

    with Sandbox(requests_per_minute=None, requests_per_hour=None) as sandbox:
        yield sandbox


@pytest.fixture(scope="session")
def bigquery_emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BigQueryEmulator]:
    """A running :class:`BigQueryEmulator`, one for all tests: use a dataset per test."""
    from airflow_provider_talkpilot.sandbox.bigquery import BigQueryEmulator

    with BigQueryEmulator(gcs_root=tmp_path_factory.mktemp("gcs")) as emulator:
        yield emulator


@pytest.fixture(scope="session")
def storage_emulator(bigquery_emulator: BigQueryEmulator) -> Iterator[StorageEmulator]:
    """A running :class:`StorageEmulator` whose objects ``bigquery_emulator`` can load."""
    from airflow_provider_talkpilot.sandbox.storage import StorageEmulator

    with StorageEmulator(bigquery_emulator.gcs_root) as emulator:
        yield emulator
