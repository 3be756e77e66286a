"""What the documents link to is there; what a script writes into them is up to date."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from scripts.reference import COLUMN_TABLES, page, with_table
from tests.support.docs import DOCS, read

REPOSITORY = DOCS.parent
ALL = [REPOSITORY / "README.md", *sorted(DOCS.glob("*.md"))]


@pytest.mark.parametrize("path", COLUMN_TABLES, ids=lambda path: path.name)
def test_the_tables_of_columns_are_the_schema(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert with_table(text, COLUMN_TABLES[path]()) == text, "make reference writes it anew"


def test_the_operators_arguments_are_what_the_docstrings_say() -> None:
    text = read("operators")
    assert page(text) == text, "make reference writes it anew"


def headings(path: Path) -> set[str]:
    """Where links into a document may lead."""
    return {
        re.sub(r"[^\w-]", "", heading.lower().replace(" ", "-"))
        for heading in re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    }


@pytest.mark.parametrize("path", ALL, ids=lambda path: path.name)
def test_links_lead_somewhere(path: Path) -> None:
    links = re.findall(r"\]\(([^)#]*)(?:#([^)]+))?\)", path.read_text(encoding="utf-8"))
    for target, heading in links:
        if target.startswith("https://"):
            continue
        led_to = path.parent / target if target else path
        assert led_to.exists(), target
        assert not heading or heading in headings(led_to), f"{target}#{heading}"
