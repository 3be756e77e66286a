"""What README and troubleshooting.md quote from the code is in the code."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from airflow_provider_talkpilot.bigquery.schema import COLUMNS

REPOSITORY = Path(__file__).parents[2]
PACKAGE = REPOSITORY / "airflow_provider_talkpilot"
README = REPOSITORY.joinpath("README.md").read_text(encoding="utf-8")
DOCS = [REPOSITORY / "README.md", *sorted(REPOSITORY.joinpath("docs").glob("*.md"))]
SQL_TYPES = {
    "RECORD": "ARRAY<STRUCT<role STRING, text STRING>>",
    "INTEGER": "INT64",
    "FLOAT": "FLOAT64",
    "BOOLEAN": "BOOL",
}


def section(title: str) -> str:
    [text] = re.findall(rf"^## {title}$(.*?)(?=^## |\Z)", README, re.MULTILINE | re.DOTALL)
    return str(text)


TROUBLES = REPOSITORY.joinpath("docs", "troubleshooting.md").read_text(encoding="utf-8")
MESSAGES = re.findall(r"^\| `(.+?)` \|", TROUBLES, re.MULTILINE)


@cache
def literals() -> str:
    """Every text in the package's source, a line each; a value inside is an ellipsis."""
    texts = []
    for path in PACKAGE.rglob("*.py"):
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


def test_there_are_messages() -> None:
    assert len(MESSAGES) > 20


@pytest.mark.parametrize("message", MESSAGES)
def test_a_quoted_message_is_in_the_source(message: str) -> None:
    pattern = ".*".join(re.escape(part) for part in message.split("…"))
    assert re.search(pattern, literals()), message


def test_the_columns_are_the_schemas() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (.+?) \| (.+?) \|$", section("What is loaded"), re.MULTILINE)
    assert rows == [
        (column.name, SQL_TYPES.get(column.type, column.type), column.description)
        for column in COLUMNS
    ]


def headings(path: Path) -> set[str]:
    """Where links into a document may lead."""
    return {
        re.sub(r"[^\w-]", "", heading.lower().replace(" ", "-"))
        for heading in re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    }


@pytest.mark.parametrize("path", DOCS, ids=lambda path: path.name)
def test_links_lead_somewhere(path: Path) -> None:
    links = re.findall(r"\]\(([^)#]*)(?:#([^)]+))?\)", path.read_text(encoding="utf-8"))
    for target, heading in links:
        if target.startswith("https://"):
            continue
        led_to = path.parent / target if target else path
        assert led_to.exists(), target
        assert not heading or heading in headings(led_to), f"{target}#{heading}"
