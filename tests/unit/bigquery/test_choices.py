"""The choices for columns in a table's labels."""

from __future__ import annotations

import re

import pytest
from google.cloud.bigquery import Table

from airflow_provider_talkpilot.bigquery.errors import BigQueryLoadError
from airflow_provider_talkpilot.bigquery.schema import labels_of, require_same_choices
from airflow_provider_talkpilot.staging.choices import ColumnChoices, Hasher
from tests.support.tables import DROPPABLE, HASHABLE

HASHED = ColumnChoices({"phone_number": "hash", "note": "drop"}, Hasher("0" * 64)).recorded


def table(**labels: str) -> Table:
    found = Table("demo.calls.calls")
    found.labels = {name.replace("__", "-"): value for name, value in labels.items()}
    return found


def made_under(columns: dict[str, str], **others: str) -> Table:
    found = table(**others)
    found.labels = {**found.labels, **labels_of(columns)}
    return found


def test_labels_are_ones_that_bigquery_takes() -> None:
    every = dict.fromkeys(DROPPABLE, "drop") | dict.fromkeys(HASHABLE, "hash")
    labels = labels_of(ColumnChoices(every, Hasher("0" * 64)).recorded)
    assert 0 < len(labels) < 60, "of 64, some are the user's own"
    for text in (*labels, *labels.values()):
        assert re.fullmatch(r"[a-z][a-z0-9_-]{0,62}", text)


@pytest.mark.parametrize("columns", [{}, HASHED, {"transcript": "drop"}])
def test_the_same_choices(columns: dict[str, str]) -> None:
    require_same_choices(made_under(columns), columns)
    require_same_choices(made_under(columns, team="x", talkpilot__env="prod"), columns)


@pytest.mark.parametrize(
    ("there", "now", "says"),
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
def test_other_choices(there: dict[str, str], now: dict[str, str], says: str) -> None:
    with pytest.raises(BigQueryLoadError) as caught:
        require_same_choices(made_under(there, team="x"), now)
    message = str(caught.value)
    assert "demo.calls.calls" in message
    assert says in message
    assert "Nothing was loaded" in message
    assert "docs/privacy-columns.md" in message
    assert len(message.splitlines()) == 1
    assert not caught.value.retryable
