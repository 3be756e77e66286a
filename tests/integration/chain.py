"""The tasks of the shipped DAG, one after the other, as a user's DAG would run them."""

from __future__ import annotations

import datetime as dt
import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from google.cloud.bigquery import Client

from airflow_provider_talkpilot.operators.bigquery import TalkPilotLoadCallsOperator
from airflow_provider_talkpilot.operators.calls import (
    TalkPilotEnrichCallsOperator,
    TalkPilotExtractCallsOperator,
)
from airflow_provider_talkpilot.operators.performance import TalkPilotExtractPerformanceOperator
from airflow_provider_talkpilot.operators.staging import TalkPilotCleanStagingOperator
from airflow_provider_talkpilot.sandbox import Sandbox
from airflow_provider_talkpilot.staging.storage import parse_uri
from tests.support.tables import Row, assert_equal_rows, erased_rows, expected_rows, table_rows
from tests.support.tasks import Outcome, run_task

DAY = dt.date(2026, 3, 16)
EXPIRED = dt.timedelta(days=7, hours=1)

Interval = tuple[str, str]


def day(number: int = 0) -> Interval:
    """The data interval of the sandbox's first day, or of another."""
    first = DAY + dt.timedelta(days=number)
    return first.isoformat(), (first + dt.timedelta(days=1)).isoformat()


class Chain:
    """Extract, load, enrich and load again."""

    def __init__(
        self,
        sandbox: Sandbox,
        bigquery: Client,
        table: str,
        staging_uri: str,
        interval: Interval | None = None,
    ) -> None:
        self.sandbox, self.bigquery, self.table = sandbox, bigquery, table
        self.staging_uri = staging_uri
        self.interval = interval or day()
        self.extract_options: dict[str, Any] = {}
        # Most tests compare every field with the truth: no change may be left out.
        self.enrich_options: dict[str, Any] = {"details": "every_version"}
        self.load_options: dict[str, Any] = {}

    def extract(self, **options: Any) -> Outcome:
        arguments = {"interval": self.interval, "staging_uri": self.staging_uri}
        return run_task(
            TalkPilotExtractCallsOperator, **(arguments | self.extract_options | options)
        )

    def enrich(self, manifest_uri: str, **options: Any) -> Outcome:
        arguments = {"interval": self.interval, "manifest_uri": manifest_uri, "table": self.table}
        return run_task(TalkPilotEnrichCallsOperator, **(arguments | self.enrich_options | options))

    def load(self, manifest_uri: str, **options: Any) -> Outcome:
        arguments = {"interval": self.interval, "manifest_uri": manifest_uri, "table": self.table}
        return run_task(TalkPilotLoadCallsOperator, **(arguments | self.load_options | options))

    def clean(self, *manifest_uris: str | None, **options: Any) -> Outcome:
        arguments = {
            "interval": self.interval,
            "staging_uri": self.staging_uri,
            "manifest_uris": list(manifest_uris),
        }
        return run_task(TalkPilotCleanStagingOperator, **(arguments | options))

    def performance(self, calls: str, **options: Any) -> str:
        """Extract performance records, and load them; gives the manifest."""
        arguments = {"interval": self.interval, "manifest_uri": calls}
        staged = run_task(TalkPilotExtractPerformanceOperator, **(arguments | options))
        self.load(str(staged.returned))
        return str(staged.returned)

    def summaries(self) -> str:
        """Extract and load; gives the manifest."""
        calls = str(self.extract().returned)
        self.load(calls)
        return calls

    def run(self) -> tuple[str, str]:
        """All four tasks; gives the manifests of calls and details."""
        calls = self.summaries()
        details = str(self.enrich(calls).returned)
        self.load(details)
        return calls, details

    def reset_quota(self) -> None:
        """As if an hour had passed: the key has its quota back, and nothing is known of before."""
        self.sandbox.reset_quota()
        ledger = parse_uri(self.staging_uri) / "_quota"
        if ledger.exists():
            ledger.rmdir(recursive=True)

    def rows(self, *, own_times: bool = False) -> list[Row]:
        return table_rows(self.bigquery, self.table, own_times=own_times)

    def assert_table_is_truth(
        self,
        *intervals: Interval,
        agent_ids: list[str] | None = None,
        erased: Iterable[Row] = (),
        **expected: Any,
    ) -> None:
        """The table holds exactly what the API holds in the intervals; none: in the chain's own.

        :param erased: calls, as they last were, of which the table keeps empty rows.
        """
        truth = [
            call
            for start, end in intervals or [self.interval]
            for call in self.sandbox.truth(start, end, agent_ids)
        ]
        assert truth, "a test on nothing proves nothing"
        wanted = expected_rows(truth, **expected) + erased_rows(erased, **expected)
        assert_equal_rows(self.rows(), wanted)


def local(uri: str) -> Path:
    """The path of a file:// URI."""
    return Path(urlsplit(uri).path)


def staged_files(uri: str) -> list[Path]:
    """Every file below a local staging URI, hidden ones too, but for the ledger of the quota."""
    return sorted(
        path for path in local(uri).rglob("*") if path.is_file() and "_quota" not in path.parts
    )


def names(uri: str) -> list[str]:
    """Every file below a staging URI, in a folder or a bucket, but for the ledger of the quota."""
    root = parse_uri(uri)
    root.fs.invalidate_cache()
    return sorted(str(path) for path in root.fs.find(root.path) if "/_quota/" not in str(path))


def age(*paths: Path, by: dt.timedelta = EXPIRED) -> None:
    """Make local files look as if they were written long ago."""
    then = time.time() - by.total_seconds()
    for path in paths:
        os.utime(path, (then, then))
