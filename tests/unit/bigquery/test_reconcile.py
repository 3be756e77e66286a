"""What a load says if the table does not have what the load brought."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from airflow_provider_talkpilot.bigquery.errors import BigQueryError
from airflow_provider_talkpilot.bigquery.reconcile import Comparison, reconcile
from airflow_provider_talkpilot.bigquery.table_id import TableId
from airflow_provider_talkpilot.staging.manifests import ListManifest
from airflow_provider_talkpilot.staging.parts import Part

TARGET = TableId.parse("demo.calls.calls")
DAY = datetime(2026, 3, 16, tzinfo=UTC)
WALK = ListManifest(
    start=DAY,
    end=DAY + timedelta(days=1),
    started_at=DAY,
    parts=[Part(name="calls-00000-0.jsonl", rows=46, bytes=1, sha256="0")],
)


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        (
            Comparison("a", staged=46, live=44, missing=2),
            r"Of 46 call\(s\) 2 are missing \(agent a: 2\), deleted since",
        ),
        (
            Comparison("a", staged=46, live=46, gone=1, gone_from_trash=2),
            "3 are too many .* by the load of an older walk",
        ),
        (
            Comparison("a", staged=46, live=46, duplicates=1),
            "1 are there twice .* inserted since, by other software",
        ),
        (Comparison("a"), "none is in the staging table, emptied by another load"),
    ],
)
def test_each_difference_has_its_own_cause(counts: Comparison, message: str) -> None:
    with pytest.raises(BigQueryError, match=message) as caught:
        reconcile([counts], WALK, TARGET, 0)
    assert caught.value.retryable
    assert str(caught.value).count(" since") == 1, "and no other cause"


def test_of_many_agents_the_largest_are_named() -> None:
    counts = [Comparison(f"{number}", staged=46, missing=number) for number in range(1, 8)]
    with pytest.raises(BigQueryError, match=r"\(agent 7: 7, .*, agent 3: 3, 2 more agent\(s\)\)"):
        reconcile(counts, WALK, TARGET, 0)


@pytest.mark.parametrize(
    "counts",
    [
        Comparison("a", staged=46, live=43, loaded_since=3),
        # A call that is in the lists of two agents is one row.
        Comparison("a", staged=45, live=46),
    ],
)
def test_rows_from_elsewhere_and_calls_in_two_lists_are_no_difference(counts: Comparison) -> None:
    assert reconcile([counts], WALK, TARGET, 0) == 46
