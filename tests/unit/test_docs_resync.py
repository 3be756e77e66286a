"""The figures in docs/resync.md are the ones that the code computes."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from datetime import date, timedelta
from pathlib import Path

import pytest

from airflow_provider_talkpilot.resync.look_backs import LookBack, LookBacks
from airflow_provider_talkpilot.resync.retention import DEFAULT_DAYS
from airflow_provider_talkpilot.resync.state import ResyncState
from airflow_provider_talkpilot.staging.extract.extraction import LONG_PAGES
from airflow_provider_talkpilot.staging.extract.slices import slices_of
from airflow_provider_talkpilot.staging.progress import duration, seconds_for

TEXT = Path(__file__).parents[2].joinpath("docs", "resync.md").read_text(encoding="utf-8")
COSTS = re.findall(r"^\| ([\d,]+) \|(.+)\|$", TEXT, re.MULTILINE)
TODAY = date(2026, 3, 18)
BEFORE = LookBacks((LookBack(3, 1), LookBack(30, 7), LookBack(180, 30)))


def number(text: str) -> int:
    return int(re.sub(r"\D", "", text))


def month(look_backs: LookBacks) -> Counter[LookBack]:
    """How often each look-back is read in 30 days, a run every day."""
    read, runs = dict[int, date](), list[LookBack]()
    for day in range(30):
        end = TODAY + timedelta(days=day)
        look_back = look_backs.due(end, read)
        assert look_back is not None
        read = look_back.added_to(read, end)
        runs.append(look_back)
    return Counter(runs)


def pages(look_back: LookBack, calls_a_day: int) -> int:
    """For one agent: pages, and of a long list what its parts cost more."""
    calls = look_back.days * calls_a_day
    parts = len(slices_of(look_back.interval(TODAY), calls, LONG_PAGES))
    return math.ceil(calls / 100) + (1 + math.ceil(parts / 2) if parts > 1 else 0)


def days_by_retention() -> int:
    """Days of a month that no look-back reads in the same run."""
    runs = month(LookBacks())
    return sum(times for look_back, times in runs.items() if look_back.days < DEFAULT_DAYS)


def test_the_look_backs() -> None:
    rows = re.findall(r"^\| \w+ \| (\d+) \| every (\d*) ?days? \|$", TEXT, re.MULTILINE)
    assert [(int(days), int(every or 1)) for days, every in rows] == [
        (look_back.days, look_back.every) for look_back in LookBacks().each
    ]


@pytest.mark.parametrize("example", re.findall(r"\[\{\"days.+?\}\]", TEXT))
def test_the_examples_are_look_backs(example: str) -> None:
    assert LookBacks.parse(example).each


def test_the_table_of_costs_is_there() -> None:
    assert len(COSTS) == 3


@pytest.mark.parametrize(("calls", "cells"), COSTS, ids=[calls for calls, _ in COSTS])
def test_a_row_of_costs(calls: str, cells: str) -> None:
    *each, a_day, whole, hours, before = (cell.strip() for cell in cells.split("|"))
    runs, count = month(LookBacks()), number(calls)
    # One more for the agents of each look-back, and one in each run to choose by.
    assert [number(cell) for cell in each] == [1 + pages(one, count) for one in LookBacks().each]
    assert number(a_day) == pages(LookBack(1, 1), count)
    total = sum(times * (2 + pages(one, count)) for one, times in runs.items())
    total += days_by_retention() * number(a_day)
    assert number(whole) == total
    assert hours == duration(seconds_for(total))
    assert number(before) == sum(
        times * (1 + pages(one, count)) for one, times in month(BEFORE).items()
    )


def test_the_runs_of_a_month() -> None:
    [said] = re.findall(r"a month: (\d+) short, (\d+) middle, (\d+) long, (\d+) by retention", TEXT)
    runs = month(LookBacks())
    expected = [*(runs[look_back] for look_back in LookBacks().each), days_by_retention()]
    assert [int(times) for times in said] == expected


def test_how_late_a_change_arrives() -> None:
    rows = re.findall(r"^\| up to (\d+) days \| (\d+) days? \|$", TEXT, re.MULTILINE)
    assert [(int(age), int(within)) for age, within in rows] == [
        (look_back.sure_age, look_back.every) for look_back in LookBacks().each
    ]


def test_retention_and_look_backs_leave_no_gap() -> None:
    """Calls too old for the long look-back are read by retention before its time is over."""
    longest = max(LookBacks().each)
    assert DEFAULT_DAYS - longest.sure_age <= longest.every
    assert f"any age up to {DEFAULT_DAYS} days arrives within {longest.every} days" in TEXT


def test_the_look_backs_for_a_year() -> None:
    [age] = re.findall(r"sure up to an age of (\d+) days", TEXT)
    [example] = re.findall(r"```json\n(\[.+?)\n```", TEXT)
    assert max(LookBacks.parse(example).each).sure_age == int(age) >= 366


def test_what_is_kept_reads_so() -> None:
    [kept] = re.findall(r"```json\n(\{.+?)\n```", TEXT, re.DOTALL)
    state = ResyncState.parse(kept)
    assert json.loads(str(state)) == json.loads(kept)
    assert len(state.look_backs) == 2
    assert len(state.retention.agents) == 1
