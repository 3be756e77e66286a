"""The choices for columns in a table's labels."""

from __future__ import annotations

import re

import pytest
from google.cloud.bigquery import Table

from airflow_provider_talkpilot.bigquery.errors import BigQueryError
from airflow_provider_talkpilot.bigquery.schema import labels_of, require_table_choices
from airflow_provider_talkpilot.staging.rows.choices import ColumnChoices, Hasher
from tests.support.tables import DROPPABLE, HASHABLE


def made_under(columns: dict[str, str]) -> Table:
    table = Table("demo.calls.calls")
    table.labels = {"team": "x", "talkpilot-env": "prod"} | labels_of(columns)
    return table


def test_labels_are_ones_that_bigquery_takes() -> None:
    every = dict.fromkeys(DROPPABLE, "drop") | dict.fromkeys(HASHABLE, "hash")
    labels = labels_of(ColumnChoices(every, Hasher("0" * 64)).recorded)
    assert 0 < len(labels) < 60, "of 64, some are the user's own"
    for text in (*labels, *labels.values()):
        assert re.fullmatch(r"[a-z][a-z0-9_-]{0,62}", text)


@pytest.mark.parametrize(
    ("made", "now", "difference"),
    [
        ({}, {"note": "drop"}, "note (keep there, drop now)"),
        (
            {"note": "hash-11111111"},
            {"note": "hash-22222222"},
            "note (hash-11111111 there, hash-22222222 now)",
        ),
        (
            {"note": "drop"},
            {"extra": "drop"},
            "note (drop there, keep now), extra (keep there, drop now)",
        ),
    ],
)
def test_other_choices_refused(made: dict[str, str], now: dict[str, str], difference: str) -> None:
    require_table_choices(made_under(made), made)
    with pytest.raises(BigQueryError) as caught:
        require_table_choices(made_under(made), now)
    message = str(caught.value)
    for part in ("demo.calls.calls", difference, "Nothing was loaded", "docs/privacy-columns.md"):
        assert part in message
    assert len(message.splitlines()) == 1
    assert not caught.value.retryable
