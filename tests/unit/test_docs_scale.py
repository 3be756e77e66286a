"""docs/scale.md says what ``python -m benchmarks.year`` says; one year stands for all of them."""

from __future__ import annotations

import re

import pytest

from airflow_provider_talkpilot.resync.look_backs import LookBacks
from airflow_provider_talkpilot.staging.enrich.details import BATCH_ROWS, LEAST_ROWS
from airflow_provider_talkpilot.staging.extract.extraction import PART_BYTES
from benchmarks.year import report
from benchmarks.year.calls import (
    EDITED,
    ERASED,
    NEVER_SCORED,
    PURGED,
    RETENTION_DAYS,
    SCORED_LATE,
)
from tests.support.docs import DOCS

TEXT = (DOCS / "scale.md").read_text(encoding="utf-8")


def place(name: str) -> list[str]:
    [found] = re.findall(rf"<!-- {name} -->\n(.*?)\n<!-- end of {name} -->", TEXT, re.DOTALL)
    return str(found).splitlines()


def test_the_tables_have_a_row_for_each_year() -> None:
    for name in ("requests", "backlog", "lateness"):
        assert len(place(name)) == 2 + len(report.YEARS)
    assert len(place("edge")) == 2 + len(report.EDGE)
    assert len(place("choices")) == 2 + len(report.CHOICES)


@pytest.mark.parametrize("name", ["requests", "backlog", "lateness"])
def test_the_first_year_is_the_one_that_is_simulated(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for years in ("YEARS", "EDGE", "CHOICES"):
        monkeypatch.setattr(report, years, report.YEARS[:1])
    assert place(name)[:3] == report.tables()[name].splitlines()


def test_the_rates_are_the_simulations() -> None:
    assert f"{SCORED_LATE:.0%} of the scores".replace("%", " %") in TEXT
    assert f"{NEVER_SCORED:.0%} never".replace("%", " %") in TEXT
    assert f"{EDITED:.0%} of the calls are edited".replace("%", " %") in TEXT
    assert f"{PURGED:.0%} are purged by hand and {ERASED:.1%} erased".replace("%", " %") in TEXT
    assert f"retention of {RETENTION_DAYS} days" in TEXT


def test_the_parts_are_as_large_as_it_says() -> None:
    assert f"beyond {PART_BYTES >> 20} MB" in TEXT
    assert f"from {LEAST_ROWS} to {BATCH_ROWS} details, or a minute's" in TEXT


@pytest.mark.parametrize("light", re.findall(r"'(\[\{.+?\}\])'", TEXT))
def test_the_look_backs_to_choose_are_those_that_are_simulated(light: str) -> None:
    assert LookBacks.parse(light) == report.LIGHT


def test_the_figure_in_other_documents() -> None:
    """What the default limits carry beside the re-sync."""
    carried = [year.calls_a_day for year in report.EDGE if f"| {year.calls_a_day:,} |" in TEXT]
    assert "about 17,500" in (DOCS / "quota.md").read_text(encoding="utf-8")
    assert 17_500 in carried
