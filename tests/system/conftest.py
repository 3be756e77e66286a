"""An Airflow home for the command line, and the services that the shipped DAG talks to."""

from __future__ import annotations

import datetime as dt
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from airflow_provider_talkpilot.sandbox import BigQueryEmulator, Sandbox
from tests.support.tables import Row, assert_equal_rows, expected_rows, spared_of, table_rows
from tests.system.running import Airflow

DAY = dt.date(2026, 3, 16)
# Too little quota for the lists and the details of a day.
SCARCE_HOUR, SCARCE_CALLS, RETRY_AFTER = 24, 30, 6


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in this folder runs Airflow itself."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker("system")


def scarce_sandbox() -> Sandbox:
    """A TalkPilot whose key's hour is used up in the middle of the details, until it is reset."""
    return Sandbox(
        seed=8,
        days=[DAY],
        calls_per_day=SCARCE_CALLS,
        requests_per_minute=None,
        requests_per_hour=SCARCE_HOUR,
        hour_seconds=1e6,
        retry_after_override=RETRY_AFTER,
    )


@dataclass(frozen=True)
class Services:
    """A TalkPilot, a BigQuery with a table of the test's own, and a staging folder."""

    sandbox: Sandbox
    bigquery: BigQueryEmulator
    table: str
    staging: Path

    @property
    def environment(self) -> dict[str, str]:
        """Environment variables that point Airflow at them."""
        return {
            **self.sandbox.environment,
            **self.bigquery.environment,
            "AIRFLOW_VAR_TALKPILOT_STAGING_URI": self.staging.as_uri(),
            "AIRFLOW_VAR_TALKPILOT_BIGQUERY_TABLE": self.table,
        }

    def rows(self) -> list[Row]:
        """Read the table."""
        with self.bigquery.client() as client:
            return table_rows(client, self.table)

    def assert_table_is_truth(self, *days: dt.date) -> None:
        """Check that the table holds exactly what the API holds on these days."""
        truth = [call for day in days for call in self.truth(day)]
        assert truth, "a test on nothing proves nothing"
        assert_equal_rows(self.rows(), expected_rows(truth, spared=spared_of(truth)))

    def staged(self, dag: str) -> list[Path]:
        """Return every file that a DAG has staged."""
        return [path for path in (self.staging / dag).rglob("*") if path.is_file()]

    def assert_details_fetched(self, truth: Iterable[Row]) -> None:
        """Check that each detail was fetched once, but for those that a record spares."""
        truth = [*truth]
        spared = {call["id"] for call in spared_of(truth)}
        wanted = {call["id"]: 1 for call in truth if call["id"] not in spared}
        assert self.details_fetched() == wanted

    def details_fetched(self) -> Counter[str]:
        """Return how often each call's detail was fetched."""
        return Counter(
            request.path.rpartition("/")[2]
            for request in self.sandbox.requests
            if request.kind == "detail" and request.status == 200
        )

    def truth(self, day: dt.date) -> list[Row]:
        """Return what the API holds of a day."""
        return self.sandbox.store.truth(day.isoformat(), (day + dt.timedelta(days=1)).isoformat())


@pytest.fixture(scope="session")
def airflow(tmp_path_factory: pytest.TempPathFactory) -> Airflow:
    """The command line, with a database."""
    airflow = Airflow(tmp_path_factory.mktemp("airflow"))
    airflow.run("db", "migrate")
    return airflow


@pytest.fixture
def services(
    request: pytest.FixtureRequest, bigquery_emulator: BigQueryEmulator, tmp_path: Path
) -> Iterator[Services]:
    """Two agents with 24 calls a day on three days, and TalkPilot's default limits."""
    dataset = f"d_{abs(hash(request.node.name))}_{os.getpid()}"
    table = f"{bigquery_emulator.project}.{dataset}.calls"
    with Sandbox(start=DAY, days=3, calls_per_day=24, agents=2) as sandbox:
        yield Services(sandbox, bigquery_emulator, table, tmp_path / "staging")
