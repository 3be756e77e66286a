"""Names of tables go into SQL: they are checked before anything is sent."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_talkpilot.bigquery.errors import BigQueryError
from airflow_provider_talkpilot.bigquery.table_id import TableId


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("demo.calls.calls", ("demo", "calls", "calls")),
        ("my-project-1.data_set.my-table", ("my-project-1", "data_set", "my-table")),
        ("`demo.calls.calls`", ("demo", "calls", "calls")),
        ("`demo`.`calls`.`calls`", ("demo", "calls", "calls")),
        (" demo.calls.calls\n", ("demo", "calls", "calls")),
        ("example.com:project.d.t", ("example.com:project", "d", "t")),
    ],
)
def test_names(text: str, parts: tuple[str, str, str]) -> None:
    table = TableId.parse(text)
    assert (table.project, table.dataset, table.table) == parts
    assert TableId.parse(str(table)) == table


@pytest.mark.parametrize(
    "text",
    [None, "", "calls", "a.b.c.d", "P.d.t", "p.d.t`; DROP x; --", "p.d-x.t", "p.d.t$1", "ö.d.t"],
)
def test_malformed_names(text: str | None) -> None:
    with pytest.raises(BigQueryError, match=r"project\.dataset\.table") as caught:
        TableId.parse(text)
    assert not caught.value.retryable


@given(st.text(st.sampled_from("ab1_-.:` ;'\"\n\\/*$"), max_size=12))
def test_no_name_can_end_the_backticks(text: str) -> None:
    try:
        table = TableId.parse(text)
    except BigQueryError:
        return
    assert not set(str(table)) & set("` ;'\"\n\\/*$")
