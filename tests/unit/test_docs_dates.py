"""Dates in commands and in SQL mean the same wherever Airflow and BigQuery think that they are."""

from __future__ import annotations

import re
from datetime import UTC
from pathlib import Path

import pendulum
import pytest

from tests.support.docs import DOCS

REPOSITORY = DOCS.parent
PAGES = [REPOSITORY / "README.md", REPOSITORY / "CONTRIBUTING.md", *sorted(DOCS.glob("*.md"))]
SQL = sorted((REPOSITORY / "airflow_provider_talkpilot" / "bigquery" / "sql").glob("*.sql"))
ZONES = ("UTC", "Europe/Berlin", "America/New_York")
# The commands of Airflow that take a date.
_COMMAND = re.compile(
    r"(?:dags test|tasks test|--(?:from|to|start|end)-date|--logical-date)"
    r"(?: [a-z_]+)* (\d{4}-\d\d-\d\d[^\s`'\"]*)"
)
_LITERAL = re.compile(r"(?:TIMESTAMP|_at [<>=]+) '([^']+)'")


def test_commands_name_the_same_moments_under_every_default_timezone() -> None:
    found = [text for page in PAGES for text in _COMMAND.findall(page.read_text(encoding="utf-8"))]
    assert len(found) >= 6
    for text in found:
        # As Airflow's command line reads a date, by [core] default_timezone.
        moments = {pendulum.parse(text, tz=zone, strict=False) for zone in ZONES}
        assert len(moments) == 1, text
        [moment] = moments
        assert isinstance(moment, pendulum.DateTime)
        assert moment.astimezone(UTC).isoformat().endswith("T00:00:00+00:00"), text


@pytest.mark.parametrize("path", [*PAGES, *SQL], ids=lambda path: path.name)
def test_moments_in_sql_name_their_zone(path: Path) -> None:
    """A BigQuery project can have a default time zone too."""
    for text in _LITERAL.findall(path.read_text(encoding="utf-8")):
        assert re.fullmatch(r".*\+00|\{\{ \w+ \}\}", text), text
