"""The figures in quota.md, resync.md and scale.md are the ones that the code computes."""

from __future__ import annotations

import math
import re
from collections import Counter
from datetime import date, timedelta

import pytest

from airflow_provider_talkpilot.resync.look_backs import LookBack, LookBacks
from airflow_provider_talkpilot.resync.retention import DEFAULT_DAYS
from airflow_provider_talkpilot.staging.extract.extraction import LONG_PAGES
from airflow_provider_talkpilot.staging.extract.slices import slices_of
from airflow_provider_talkpilot.staging.progress import duration, seconds_for
from benchmarks.year import report
from tests.support.docs import read

TODAY = date(2026, 3, 18)
BEFORE = LookBacks((LookBack(3, 1), LookBack(30, 7), LookBack(180, 30)))


def number(text: str) -> int:
    return int(re.sub(r"\D", "", text))


def figures(document: str) -> list[tuple[int, list[str]]]:
    """The rows of a document's table that begin with a number of calls."""
    rows = re.findall(r"^\| ([\d,]+) \|(.+)\|$", read(document), re.MULTILINE)
    return [(number(calls), [cell.strip() for cell in cells.split("|")]) for calls, cells in rows]


def month(look_backs: LookBacks) -> Counter[LookBack]:
    """How often each look-back is read in 30 days, a run every day."""
    read_until, runs = dict[int, date](), list[LookBack]()
    for day in range(30):
        end = TODAY + timedelta(days=day)
        look_back = look_backs.due(end, read_until)
        assert look_back is not None
        read_until = look_back.added_to(read_until, end)
        runs.append(look_back)
    return Counter(runs)


def pages(look_back: LookBack, calls_a_day: int) -> int:
    """For one agent: pages, and of a long list what its slices cost more."""
    calls = look_back.days * calls_a_day
    slices = len(slices_of(look_back.interval(TODAY), calls, LONG_PAGES))
    return math.ceil(calls / 100) + (1 + math.ceil(slices / 2) if slices > 1 else 0)


def test_what_a_days_calls_cost() -> None:
    found = figures("quota")
    assert len(found) == 6
    for calls, (lists, details, first, again, changed) in found:
        requests = 1 + math.ceil(calls / 100)
        assert number(lists) == number(again) == requests
        assert number(details) == calls
        assert first == duration(seconds_for(requests + calls))
        some = requests + calls // 10
        assert changed == f"{some:,} requests, {duration(seconds_for(some))}"


def test_what_the_resync_costs() -> None:
    found, runs = figures("resync"), month(LookBacks())
    assert len(found) == 3
    by_retention = sum(times for one, times in runs.items() if one.days < DEFAULT_DAYS)
    for calls, (*each, a_day, whole, hours, before) in found:
        # One more for the agents of each look-back, and one in each run to choose by.
        assert [number(cell) for cell in each] == [1 + pages(b, calls) for b in LookBacks().each]
        assert number(a_day) == pages(LookBack(1, 1), calls)
        total = sum(times * (2 + pages(one, calls)) for one, times in runs.items())
        total += by_retention * number(a_day)
        assert number(whole) == total
        assert hours == duration(seconds_for(total))
        old = month(BEFORE).items()
        assert number(before) == sum(times * (1 + pages(one, calls)) for one, times in old)


def test_the_look_backs_and_how_late_a_change_arrives() -> None:
    text, look_backs = read("resync"), LookBacks().each
    rows = re.findall(r"^\| \w+ \| (\d+) \| every (\d*) ?days? \|$", text, re.MULTILINE)
    assert [(int(d), int(every or 1)) for d, every in rows] == [
        (b.days, b.every) for b in look_backs
    ]
    rows = re.findall(r"^\| up to (\d+) days \| (\d+) days? \|$", text, re.MULTILINE)
    assert [(int(a), int(b)) for a, b in rows] == [
        (b.days + 1 - b.every, b.every) for b in look_backs
    ]
    # Calls too old for the long look-back are read by retention before its time is over.
    longest = max(look_backs)
    assert DEFAULT_DAYS - (longest.days + 1 - longest.every) <= longest.every


@pytest.mark.parametrize("name", ["requests", "backlog", "lateness"])
def test_the_first_simulated_year(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One year stands for all of them: ``python -m benchmarks.year`` writes the tables."""
    [found] = re.findall(rf"<!-- {name} -->\n(.*?)\n<!-- end of", read("scale"), re.DOTALL)
    assert len(found.splitlines()) == 2 + len(report.YEARS)
    for years in ("YEARS", "EDGE", "CHOICES"):
        monkeypatch.setattr(report, years, report.YEARS[:1])
    assert found.splitlines()[:3] == report.tables()[name].splitlines()
