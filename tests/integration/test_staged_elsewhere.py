"""Details that other work staged and did not load are taken over, at no request."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from tests.integration.chain import Chain, Interval, day, local

pytestmark = pytest.mark.slow

BOTH: Interval = (day(0)[0], day(1)[1])


def stage_details(chain: Chain, interval: Interval, **options: Any) -> None:
    """A run whose details are staged, and whose loads fail."""
    chain.interval = interval
    chain.enrich(str(chain.extract(**options).returned), **options)


def parts(chain: Chain) -> list[Path]:
    return sorted(local(chain.staging_uri).rglob("details-*.jsonl"))


def transcripts(paths: Iterable[Path], call_id: str) -> list[Any]:
    """Return the transcripts of a call in staged details."""
    rows = [json.loads(line) for path in paths for line in path.read_text().split("\n") if line]
    return [row["transcript"] for row in rows if row["id"] == call_id]


@pytest.fixture
def two_days(chain: Chain) -> Chain:
    """Two days of calls; nothing is loaded."""
    chain.sandbox.reset(days=2, agents=2, calls_per_day=12)
    return chain


def test_a_failed_resync_is_taken_over_by_another_interval(two_days: Chain) -> None:
    stage_details(two_days, BOTH, dag_id="resync")
    assert two_days.details_requested() == len(two_days.sandbox.store.truth(*BOTH))
    two_days.interval = day(1)
    two_days.sandbox.store.edit(two_days.truth()[0]["id"], note="geändert")
    two_days.run()
    assert two_days.details_requested() == 1
    two_days.assert_table_is_truth()


def test_what_changed_since_is_not_copied(two_days: Chain) -> None:
    """A purge is a change too, and so is another start of the call."""
    stage_details(two_days, BOTH)
    first, moved, *_ = two_days.sandbox.store.truth(*day(0))
    [path] = parts(two_days)
    text = path.read_text().replace(moved["created_at"][:19], "2026-03-15T12:00:00")
    path.write_text(text)
    path.rename(path.with_name(f"details-00009-{sha256(text.encode()).hexdigest()[:16]}.jsonl"))
    two_days.spent()
    before = {*parts(two_days)}
    assert transcripts(before, first["id"]) != [[]]
    two_days.sandbox.store.purge(first["id"])
    two_days.interval = day(0)
    two_days.run()
    assert transcripts({*parts(two_days)} - before, first["id"]) == [[]]
    assert two_days.details_requested() == 2
    two_days.assert_table_is_truth()


def test_a_longer_interval_fetches_the_rest(two_days: Chain) -> None:
    stage_details(two_days, day(0))
    two_days.spent()
    two_days.interval = BOTH
    two_days.run()
    assert two_days.details_requested() == len(two_days.sandbox.store.truth(*day(1)))
    two_days.assert_table_is_truth()


def test_details_that_the_table_has_are_not_copied(two_days: Chain) -> None:
    stage_details(two_days, BOTH)
    two_days.load(str(two_days.enrich(str(two_days.extract().returned)).returned))
    before = parts(two_days)
    two_days.interval = day(0)
    two_days.run()
    assert parts(two_days) == before


def tear(chain: Chain) -> None:
    for part in parts(chain):
        part.write_bytes(part.read_bytes()[:-1])


def move_to_another_connection(chain: Chain) -> None:
    for folder in local(chain.staging_uri).glob("*/talkpilot_default"):
        folder.rename(folder.with_name("talkpilot_another"))


@pytest.mark.parametrize(
    ("columns", "change"),
    [({}, tear), ({}, move_to_another_connection), ({"final_score": "drop"}, lambda _: None)],
    ids=["torn", "of another connection", "with other columns"],
)
def test_staged_details_that_cannot_be_used_are_requested_again(
    two_days: Chain, columns: dict[str, str], change: Callable[[Chain], None]
) -> None:
    stage_details(two_days, BOTH, columns=columns)
    change(two_days)
    two_days.spent()
    two_days.interval = day(0)
    two_days.run()
    assert two_days.details_requested() == len(two_days.truth())
    two_days.assert_table_is_truth()
