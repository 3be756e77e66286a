"""The figures in docs/resync.md are the ones that the code computes."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from datetime import date, timedelta
from pathlib import Path

import pytest

from airflow_provider_talkpilot.operators.ladder import Done, Ladder, Rung
from airflow_provider_talkpilot.staging.extract import LONG_PAGES
from airflow_provider_talkpilot.staging.progress import duration, seconds_for
from airflow_provider_talkpilot.staging.split import parts_of

TEXT = Path(__file__).parents[2].joinpath("docs", "resync.md").read_text(encoding="utf-8")
COSTS = re.findall(r"^\| ([\d,]+) \|(.+)\|$", TEXT, re.MULTILINE)
TODAY = date(2026, 3, 18)


def number(text: str) -> int:
    return int(re.sub(r"\D", "", text))


def month() -> Counter[Rung]:
    """How often each rung of the default ladder is read in 30 days, a run every day."""
    done, runs = Done({}), list[Rung]()
    for day in range(30):
        end = TODAY + timedelta(days=day)
        rung = Ladder().due(end, done)
        assert rung is not None
        done = done.with_rung(rung, end)
        runs.append(rung)
    return Counter(runs)


def requests(rung: Rung, calls_a_day: int) -> int:
    """For one agent: agents, pages, and of a long list what its parts cost more."""
    calls = rung.days * calls_a_day
    parts = len(parts_of(rung.interval(TODAY), calls, LONG_PAGES))
    return 1 + math.ceil(calls / 100) + (1 + math.ceil(parts / 2) if parts > 1 else 0)


def test_the_ladder() -> None:
    rows = re.findall(r"^\| \w+ \| (\d+) \| every (\d*) ?days? \|$", TEXT, re.MULTILINE)
    assert [(int(days), int(every or 1)) for days, every in rows] == [
        (rung.days, rung.every) for rung in Ladder().rungs
    ]


@pytest.mark.parametrize("example", re.findall(r"\[\{.+?\}\]", TEXT))
def test_the_examples_are_ladders(example: str) -> None:
    assert Ladder.parse(example).rungs


def test_the_table_of_costs_is_there() -> None:
    assert len(COSTS) == 3


@pytest.mark.parametrize(("calls", "cells"), COSTS, ids=[calls for calls, _ in COSTS])
def test_a_row_of_costs(calls: str, cells: str) -> None:
    *rungs, whole, hours = (cell.strip() for cell in cells.split("|"))
    each = {rung: requests(rung, number(calls)) for rung in Ladder().rungs}
    assert [number(cell) for cell in rungs] == list(each.values())
    total = sum(each[rung] * times for rung, times in month().items())
    assert number(whole) == total
    assert hours == duration(seconds_for(total))


def test_the_runs_of_a_month() -> None:
    [said] = re.findall(r"a month: (\d+) short, (\d+) middle, (\d+) long", TEXT)
    runs = month()
    assert [int(times) for times in said] == [runs[rung] for rung in Ladder().rungs]


def test_how_late_a_change_arrives() -> None:
    rows = re.findall(r"^\| up to (\d+) days \| (\d+) days? \|$", TEXT, re.MULTILINE)
    assert [(int(age), int(within)) for age, within in rows] == [
        (rung.sure_age, rung.every) for rung in Ladder().rungs
    ]


def test_the_ladder_for_a_year() -> None:
    [age] = re.findall(r"sure up to an age of (\d+) days", TEXT)
    [example] = re.findall(r"```json\n(.+?)\n```", TEXT)
    assert max(Ladder.parse(example).rungs).sure_age == int(age) >= 366


def test_what_is_kept_reads_so() -> None:
    [kept] = re.findall(r"`(\{\"3\".+?\})`", TEXT)
    assert len(Done.parse(kept).until) == len(json.loads(kept)) == 2
