"""The figures in docs/quota.md are the ones that the code computes."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pytest

from airflow_provider_talkpilot.staging.progress import duration, seconds_for

TEXT = Path(__file__).parents[2].joinpath("docs", "quota.md").read_text()
ROWS = re.findall(r"^\| ([\d,]+) \|(.+)\|$", TEXT, re.MULTILINE)


def number(text: str) -> int:
    return int(re.sub(r"\D", "", text))


def test_the_table_is_there() -> None:
    assert len(ROWS) == 6


@pytest.mark.parametrize(("calls", "cells"), ROWS, ids=[calls for calls, _ in ROWS])
def test_a_row(calls: str, cells: str) -> None:
    count = number(calls)
    lists, details, first, again, changed = (cell.strip() for cell in cells.split("|"))
    requests = 1 + math.ceil(count / 100)
    assert number(lists) == requests
    assert number(details) == count
    assert first == duration(seconds_for(requests + count))
    assert number(again) == requests
    some = requests + count // 10
    assert changed == f"{some:,} requests, {duration(seconds_for(some))}"


def test_the_plan_in_the_log() -> None:
    assert f"about {duration(seconds_for(5000))} at 60 a minute and 1,000 an hour" in TEXT
