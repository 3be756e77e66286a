"""What the documents quote, link and show is there; what is written by a script is up to date."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from scripts.reference import COLUMN_TABLES, page, with_table
from tests.support.docs import DOCS, read, section, table

REPOSITORY = DOCS.parent
ALL = [REPOSITORY / "README.md", *sorted(DOCS.glob("*.md"))]
TEST_BUTTON = table(section(read("connection"), "The test button"))
MESSAGES = {
    *re.findall(r"^\| `(.+?)` \|", read("troubleshooting"), re.MULTILINE),
    *(quoted for row in TEST_BUTTON for quoted in row[0].split("` … `")),
}


@cache
def literals() -> str:
    """Every text in the package's source, a line each; a value inside is an ellipsis."""
    texts = []
    for path in REPOSITORY.joinpath("airflow_provider_talkpilot").rglob("*.py"):
        if "sandbox" in path.parts:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                parts = (
                    str(part.value) if isinstance(part, ast.Constant) else "…"
                    for part in node.values
                )
                texts.append("".join(parts))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                texts.append(node.value)
    return "\n".join(text.replace("\n", " ") for text in texts)


@pytest.mark.parametrize("message", sorted(MESSAGES))
def test_a_quoted_message_is_in_the_source(message: str) -> None:
    assert len(MESSAGES) > 20
    pattern = ".*".join(re.escape(part) for part in message.split("…"))
    assert re.search(pattern, literals()), message


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
