"""The tasks of the shipped DAG, one after the other, as a user's DAG would run them."""

from __future__ import annotations

import datetime as dt
import math
import os
import shutil
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from airflow.providers.common.compat.sdk import BaseOperator
from google.cloud.bigquery import Client

from airflow_provider_talkpilot.api import Interval as WalkInterval
from airflow_provider_talkpilot.exceptions import TalkPilotTaskError, TalkPilotTaskFailError
from airflow_provider_talkpilot.operators.bigquery import TalkPilotLoadCallsOperator
from airflow_provider_talkpilot.operators.calls import (
    TalkPilotEnrichCallsOperator,
    TalkPilotExtractCallsOperator,
)
from airflow_provider_talkpilot.operators.clean import TalkPilotCleanStagingOperator
from airflow_provider_talkpilot.operators.performance import TalkPilotExtractPerformanceOperator
from airflow_provider_talkpilot.sandbox import Sandbox
from airflow_provider_talkpilot.staging.storage import parse_uri
from tests.support.tables import Row, assert_equal_rows, erased_rows, expected_rows, table_rows
from tests.support.tasks import Outcome, run_task

DAY = dt.date(2026, 3, 16)
EXPIRED = dt.timedelta(days=7, hours=1)

Interval = tuple[str, str]
# The fixture that kills a task.
Kill = Callable[..., None]


def day(number: int = 0) -> Interval:
    """Return the data interval of a day of the sandbox; 0 is its first."""
    first = DAY + dt.timedelta(days=number)
    return first.isoformat(), (first + dt.timedelta(days=1)).isoformat()


OPERATORS: dict[str, type[BaseOperator]] = {
    "extract": TalkPilotExtractCallsOperator,
    "enrich": TalkPilotEnrichCallsOperator,
    "load": TalkPilotLoadCallsOperator,
    "clean": TalkPilotCleanStagingOperator,
}


class Chain:
    """Extract, load, enrich and load again."""

    def __init__(self, sandbox: Sandbox, bigquery: Client, table: str, staging_uri: str) -> None:
        self.sandbox, self.bigquery, self.table = sandbox, bigquery, table
        self.staging_uri = staging_uri
        self.interval = day()
        self.extract_options: dict[str, Any] = {}
        # Most tests compare every field with the API: enrichment may leave out no change.
        self.enrich_options: dict[str, Any] = {"details": "every_version"}
        self.load_options: dict[str, Any] = {}

    def arguments(self, task: str, *manifest_uris: str | None, **options: Any) -> dict[str, Any]:
        """Return the arguments of :func:`run_task`, or of :meth:`Jobs.run`, for a task."""
        if task == "extract":
            own = {"staging_uri": self.staging_uri, **self.extract_options}
        elif task == "clean":
            own = {"staging_uri": self.staging_uri, "manifest_uris": list(manifest_uris)}
        else:
            [manifest_uri] = manifest_uris
            own = {"manifest_uri": manifest_uri, "table": self.table}
            own |= self.enrich_options if task == "enrich" else self.load_options
        return {"operator": OPERATORS[task], "interval": self.interval, **own, **options}

    def extract(self, **options: Any) -> Outcome:
        return run_task(**self.arguments("extract", **options))

    def enrich(self, manifest_uri: str, **options: Any) -> Outcome:
        return run_task(**self.arguments("enrich", manifest_uri, **options))

    def load(self, manifest_uri: str, **options: Any) -> Outcome:
        return run_task(**self.arguments("load", manifest_uri, **options))

    def clean(self, *manifest_uris: str | None, **options: Any) -> Outcome:
        return run_task(**self.arguments("clean", *manifest_uris, **options))

    def performance(self, calls: str, **options: Any) -> str:
        """Extract performance records and load them; return the manifest."""
        arguments = {"interval": self.interval, "manifest_uri": calls}
        staged = run_task(TalkPilotExtractPerformanceOperator, **(arguments | options))
        self.load(str(staged.returned))
        return str(staged.returned)

    def summaries(self) -> str:
        """Extract and load; return the manifest."""
        calls = str(self.extract().returned)
        self.load(calls)
        return calls

    def run(self, *, performance: bool = False) -> tuple[str, str]:
        """Run all tasks but the last; return the manifests of calls and details.

        :param performance: whether to read performance records, too.
        """
        calls = self.summaries()
        if performance:
            self.performance(calls)
        details = str(self.enrich(calls).returned)
        self.load(details)
        return calls, details

    def reset_quota(self) -> None:
        """Give the key its whole quota back, and forget the requests of the last hour."""
        self.sandbox.reset_quota()
        ledger = parse_uri(self.staging_uri) / "_quota"
        if ledger.exists():
            ledger.rmdir(recursive=True)

    def forget_staging(self) -> None:
        """Delete all that is staged in a folder: only the table knows the details then."""
        shutil.rmtree(local(self.staging_uri))

    def age_details(self, days: int = 2) -> None:
        """Make the table's details some days older, and delete what is staged."""
        self.bigquery.query(
            f"UPDATE `{self.table}` SET detail_synced_at ="
            f" TIMESTAMP_SUB(detail_synced_at, INTERVAL {days} DAY) WHERE TRUE"
        ).result()
        self.forget_staging()

    def truth(self) -> list[Row]:
        """Return the calls that the API has in the chain's interval."""
        return self.sandbox.store.truth(*self.interval)

    def spent(self) -> dict[str, int]:
        """Return the requests since the last time, by kind."""
        counts = {kind: count for kind, count in self.sandbox.counters.items() if count}
        self.sandbox.reset_counters()
        return counts

    def details_requested(self) -> int:
        """Return the requests of details since the last time that requests were counted."""
        return self.spent().get("detail", 0)

    def rows(self, *, own_times: bool = False) -> list[Row]:
        return table_rows(self.bigquery, self.table, own_times=own_times)

    def assert_table_is_truth(
        self, *intervals: Interval, erased: Iterable[Row] = (), **expected: Any
    ) -> None:
        """Check that the table holds exactly what the API holds.

        :param intervals: where; the chain's own if there are none.
        :param erased: the calls, as they last were, that the table keeps as empty rows.
        :param expected: of :func:`expected_rows`.
        """
        truth = [
            call
            for start, end in intervals or [self.interval]
            for call in self.sandbox.store.truth(start, end)
        ]
        assert truth, "a test on nothing proves nothing"
        wanted = expected_rows(truth, **expected) + erased_rows(erased, **expected)
        assert_equal_rows(self.rows(), wanted)


def local(uri: str) -> Path:
    """Return the path of a file:// URI."""
    return Path(urlsplit(uri).path)


def assert_message(
    error: tuple[type[BaseException], str], kind: type[TalkPilotTaskError], *words: str
) -> None:
    """Check an exception. Its message is one line with these words, and has no secret."""
    assert issubclass(error[0], kind), error
    is_final = issubclass(error[0], TalkPilotTaskFailError)
    assert is_final == (kind is TalkPilotTaskFailError), error
    assert len(error[1].splitlines()) == 1, error[1]
    assert "tp_live_" not in error[1].replace("tp_live_ and 32 hex digits", ""), error[1]
    assert "unsaid" not in error[1], error[1]
    for word in words:
        assert word in error[1]


def refused(
    task: Callable[[], object], *words: str, kind: type[TalkPilotTaskError] = TalkPilotTaskFailError
) -> str:
    """Check that a task fails, with these words in its message; return the message.

    :param kind: TalkPilotTaskError if the next try can succeed.
    """
    with pytest.raises(TalkPilotTaskError) as caught:
        task()
    message = str(caught.value)
    assert_message((type(caught.value), message), kind, *words)
    return message


def staged_files(uri: str) -> list[Path]:
    """Return every file below a local staging URI, hidden ones too, but the quota's ledger."""
    return sorted(
        path for path in local(uri).rglob("*") if path.is_file() and "_quota" not in path.parts
    )


def names(uri: str) -> list[str]:
    """Return every file below a staging URI, in a folder or a bucket, but the quota's ledger."""
    root = parse_uri(uri)
    root.fs.invalidate_cache()
    return sorted(str(path) for path in root.fs.find(root.path) if "/_quota/" not in str(path))


def age(*paths: Path, by: dt.timedelta = EXPIRED) -> None:
    """Make local files look as if they were written long ago."""
    then = time.time() - by.total_seconds()
    for path in paths:
        os.utime(path, (then, then))


def listed(sandbox: Sandbox, agent_id: str, interval: WalkInterval) -> int:
    """Return how many calls the API lists for an agent's interval, with the margin's."""
    first, end = interval.request_from, interval.request_to
    if sandbox.settings.from_bound == "exclusive":
        first += dt.timedelta(microseconds=1)
    if sandbox.settings.to_bound == "inclusive":
        end += dt.timedelta(microseconds=1)
    return len(sandbox.store.truth(first, end, [agent_id]))


def pages(sandbox: Sandbox, agent_id: str, interval: WalkInterval) -> int:
    """Return the requests that a walk of an agent's interval must cost."""
    return max(1, math.ceil(listed(sandbox, agent_id, interval) / 100))
