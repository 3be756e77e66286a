"""What a load says where the table does not have what it brought."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airflow_provider_talkpilot.bigquery.errors import BigQueryLoadError
from airflow_provider_talkpilot.bigquery.reconcile import Balance, require_equal
from airflow_provider_talkpilot.staging.manifests import WalksManifest
from airflow_provider_talkpilot.staging.parts import Part

DAY = datetime(2026, 3, 16, tzinfo=UTC)
MANIFEST = WalksManifest(
    start=DAY,
    end=DAY + timedelta(days=1),
    started_at=DAY,
    parts=[Part(name="calls-00000-0.jsonl", rows=46, bytes=1, sha256="0")],
)
COUNTS = dict.fromkeys(set(Balance.__dataclass_fields__) - {"agent_id"}, 0)
EQUAL = Balance("a", **COUNTS | {"staged": 46, "live": 46})


@pytest.mark.parametrize(
    ("found", "says"),
    [
        ({"missing": 2}, r"Of 46 call\(s\) 2 are missing \(agent a: 2\), deleted since"),
        ({"gone": 1, "gone_from_trash": 2}, "3 are too many .* by the load of an older walk"),
        ({"doubles": 1}, "1 are there twice .* inserted since, by other software"),
        ({"staged": 0, "live": 0}, "none is in the staging table, emptied by another load"),
    ],
)
def test_each_cause_has_words_of_its_own(found: dict[str, Any], says: str) -> None:
    with pytest.raises(BigQueryLoadError, match=says) as caught:
        require_equal([replace(EQUAL, **found)], MANIFEST, "demo.calls.calls")
    assert caught.value.retryable
    assert str(caught.value).count(" since") == 1, "and no other"


def test_what_is_equal_or_came_since_is_no_error() -> None:
    require_equal([replace(EQUAL, others=3, changed=1)], MANIFEST, "demo.calls.calls")


def test_a_call_that_two_agents_lists_have_is_one_row() -> None:
    require_equal([replace(EQUAL, staged=45, live=45)], MANIFEST, "demo.calls.calls")
