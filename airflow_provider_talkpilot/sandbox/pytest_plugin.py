"""Fixtures for tests of DAGs: a TalkPilot, a BigQuery and a Cloud Storage on this machine.

This module imports a server only when a test uses its fixture.

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
    from airflow_provider_talkpilot.sandbox.emulators.bigquery import BigQueryEmulator
    from airflow_provider_talkpilot.sandbox.emulators.storage import StorageEmulator
    from airflow_provider_talkpilot.sandbox.server import Sandbox


@pytest.fixture
def talkpilot_sandbox() -> Iterator[Sandbox]:
    """A running :class:`Sandbox` with fresh data: seven days from 2026-03-16, no rate limit.

    ``talkpilot_sandbox.settings`` changes its behaviour, and
    ``talkpilot_sandbox.reset(days=…, calls_per_day=…)`` its data. ``reset(era="spring")`` serves
    the API as of March 2026; read ``environment`` afterwards, because the address differs.
    """
    from airflow_provider_talkpilot.sandbox.server import Sandbox

    with Sandbox(requests_per_minute=None, requests_per_hour=None) as sandbox:
        yield sandbox


@pytest.fixture(scope="session")
def bigquery_emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BigQueryEmulator]:
    """A running :class:`BigQueryEmulator`, one for all tests: use a dataset per test."""
    from airflow_provider_talkpilot.sandbox.emulators.bigquery import BigQueryEmulator

    with BigQueryEmulator(gcs_root=tmp_path_factory.mktemp("gcs")) as emulator:
        yield emulator


@pytest.fixture(scope="session")
def storage_emulator(bigquery_emulator: BigQueryEmulator) -> Iterator[StorageEmulator]:
    """A running :class:`StorageEmulator` whose objects ``bigquery_emulator`` can load."""
    from airflow_provider_talkpilot.sandbox.emulators.storage import StorageEmulator

    with StorageEmulator(bigquery_emulator.gcs_root) as emulator:
        yield emulator
