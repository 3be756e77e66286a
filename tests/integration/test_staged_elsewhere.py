"""Details that other work staged and did not load are taken over, at no request."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from tests.integration.chain import Chain, Interval, day, local

pytestmark = pytest.mark.slow

BOTH: Interval = (day(0)[0], day(1)[1])


def details_requested(chain: Chain) -> int:
    """Detail requests since the last time."""
    requests = chain.sandbox.counters["detail"]
    chain.sandbox.reset_counters()
    return requests


def stage_details(chain: Chain, interval: Interval, **options: Any) -> None:
    """A run whose details are staged, and whose loads fail."""
    chain.interval = interval
    chain.enrich(str(chain.extract(**options).returned), **options)


def parts(chain: Chain) -> list[Path]:
    return sorted(local(chain.staging_uri).rglob("details-*.jsonl"))


def transcripts(paths: Iterable[Path], call_id: str) -> list[Any]:
    """What staged details of a call say that was said."""
    rows = [json.loads(line) for path in paths for line in path.read_text().split("\n") if line]
    return [row["transcript"] for row in rows if row["id"] == call_id]


@pytest.fixture
def two_days(chain: Chain) -> Chain:
    """Two days of calls; nothing is loaded."""
    chain.sandbox.reset(days=2, agents=2, calls_per_day=12)
    return chain


def test_a_failed_resync_is_taken_over_by_another_interval(two_days: Chain) -> None:
    of_both = len(two_days.sandbox.truth(*BOTH))
    stage_details(two_days, BOTH, dag_id="resync")
    assert details_requested(two_days) == of_both
    two_days.interval = day(1)
    first, *_ = two_days.sandbox.truth(*day(1))
    two_days.sandbox.edit(first["id"], note="geändert")
    two_days.run()
    assert details_requested(two_days) == 1
    two_days.assert_table_is_truth()


def test_what_changed_since_is_not_copied(two_days: Chain) -> None:
    """A purge is a change too: what was said before it stays where it is, until it goes there."""
    stage_details(two_days, BOTH)
    first, *_ = two_days.sandbox.truth(*day(0))
    before = {*parts(two_days)}
    assert transcripts(before, first["id"]) != [[]]
    two_days.sandbox.purge(first["id"])
    two_days.interval = day(0)
    two_days.run()
    assert transcripts({*parts(two_days)} - before, first["id"]) == [[]]
    two_days.assert_table_is_truth()


def test_a_longer_interval_fetches_the_rest(two_days: Chain) -> None:
    stage_details(two_days, day(0))
    details_requested(two_days)
    two_days.interval = BOTH
    two_days.run()
    assert details_requested(two_days) == len(two_days.sandbox.truth(*day(1)))
    two_days.assert_table_is_truth()


def test_what_the_table_has_is_not_copied(two_days: Chain) -> None:
    stage_details(two_days, BOTH)
    two_days.load(str(two_days.enrich(str(two_days.extract().returned)).returned))
    before = parts(two_days)
    two_days.interval = day(0)
    two_days.run()
    assert parts(two_days) == before


def test_torn_parts_elsewhere_are_fetched_again(two_days: Chain) -> None:
    stage_details(two_days, BOTH)
    before = details_requested(two_days)
    for part in parts(two_days):
        part.write_bytes(part.read_bytes()[:-1])
    two_days.interval = day(0)
    two_days.run()
    assert 0 < details_requested(two_days) == len(two_days.sandbox.truth(*day(0))) < before
    two_days.assert_table_is_truth()


def test_other_choices_for_columns_are_of_no_use(two_days: Chain) -> None:
    stage_details(two_days, BOTH, columns={"final_score": "drop"})
    details_requested(two_days)
    two_days.interval = day(0)
    two_days.run()
    assert details_requested(two_days) == len(two_days.sandbox.truth(*day(0)))
    two_days.assert_table_is_truth()


def test_another_connection_is_none_of_our_business(two_days: Chain) -> None:
    stage_details(two_days, BOTH)
    details_requested(two_days)
    root = local(two_days.staging_uri)
    for folder in root.glob("*/talkpilot_default"):
        folder.rename(folder.with_name("talkpilot_another"))
    two_days.interval = day(0)
    two_days.run()
    assert details_requested(two_days) == len(two_days.sandbox.truth(*day(0)))
