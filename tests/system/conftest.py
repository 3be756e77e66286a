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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in this folder runs Airflow itself."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker("system")


@dataclass(frozen=True)
class Services:
    """A TalkPilot, a BigQuery with a table of the test's own, and a staging folder."""

    sandbox: Sandbox
    bigquery: BigQueryEmulator
    table: str
    staging: Path

    @property
    def environment(self) -> dict[str, str]:
        """What points Airflow at them."""
        return {
            **self.sandbox.environment,
            **self.bigquery.environment,
            "AIRFLOW_VAR_TALKPILOT_STAGING_URI": self.staging.as_uri(),
            "AIRFLOW_VAR_TALKPILOT_BIGQUERY_TABLE": self.table,
        }

    def rows(self, table: str = "") -> list[Row]:
        """The table as it is."""
        with self.bigquery.client() as client:
            return table_rows(client, table or self.table)

    def assert_table_is_truth(
        self, *days: dt.date, details: bool = True, scores: bool = False
    ) -> None:
        """The table holds exactly what the API holds on these days."""
        truth = [call for day in days for call in self.truth(day)]
        assert truth, "a test on nothing proves nothing"
        spared = spared_of(truth) if details else ()
        wanted = expected_rows(truth, details=details, scores=scores, spared=spared)
        assert_equal_rows(self.rows(), wanted)

    def staged(self, dag: str) -> list[Path]:
        """Every file that a DAG has staged."""
        return [path for path in (self.staging / dag).rglob("*") if path.is_file()]

    def assert_details_fetched(self, truth: Iterable[Row]) -> None:
        """Each detail was fetched once, but for those that a performance record spares."""
        truth = [*truth]
        spared = {call["id"] for call in spared_of(truth)}
        wanted = {call["id"]: 1 for call in truth if call["id"] not in spared}
        assert self.details_fetched() == wanted

    def details_fetched(self) -> Counter[str]:
        """How often each call's detail was fetched."""
        return Counter(
            request.path.rpartition("/")[2]
            for request in self.sandbox.requests
            if request.kind == "detail" and request.status == 200
        )

    def truth(self, day: dt.date) -> list[Row]:
        """What the API holds of a day."""
        return self.sandbox.truth(day.isoformat(), (day + dt.timedelta(days=1)).isoformat())


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
