"""docs/privacy.md: what becomes of each column is what the schema says."""

from __future__ import annotations

import re

from airflow_provider_talkpilot.staging.columns import COLUMNS, PERSONAL
from tests.support.docs import DOCS, section, table

ROWS = table(
    section(
        (DOCS / "privacy.md").read_text(encoding="utf-8"),
        "What becomes of a call, and of its columns",
    )
)


def columns(cell: str) -> list[str]:
    return re.findall(r"\w+", cell)


def test_each_column_is_told_once() -> None:
    told = [name for row in ROWS for name in columns(row[0])]
    assert sorted(told) == sorted(column.name for column in COLUMNS)


def test_an_erasure_empties_what_tells_of_a_person() -> None:
    emptied = {name for row in ROWS if row[3] == "**empty**" for name in columns(row[0])}
    personal = {column.name for column in PERSONAL}
    assert emptied == personal | {"detail_updated_at", "detail_synced_at"}
