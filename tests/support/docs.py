"""Reads the documents: their sections, tables and blocks of code."""

from __future__ import annotations

import re
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"


def read(name: str) -> str:
    """Return a document's text."""
    return (DOCS / f"{name}.md").read_text(encoding="utf-8")


def section(text: str, title: str) -> str:
    """Return the text under a heading, up to the next one of its level or above."""
    [(level, start)] = [
        (len(match[1]), match.end())
        for match in re.finditer(rf"^(#+) {re.escape(title)}$", text, re.MULTILINE)
    ]
    end = re.compile(rf"^#{{1,{level}}} ", re.MULTILINE).search(text, start)
    return text[start : end.start() if end else None]


def table(text: str) -> list[tuple[str, ...]]:
    """Return the rows of the tables in a text, without heads, and cells without backticks."""
    rows = re.findall(r"^\| (`.+) \|$", text, re.MULTILINE)
    return [tuple(cell.strip(" `") for cell in row.split("|")) for row in rows]


def code(text: str, language: str) -> list[str]:
    """Return the blocks of code in a language."""
    return re.findall(rf"^ *```{language}\n(.*?)^ *```$", text, re.MULTILINE | re.DOTALL)


def code_by_heading(text: str, language: str) -> dict[str, str]:
    """Return the first block of code under each heading of the third level."""
    titles = re.findall(r"^### (.+)$", text, re.MULTILINE)
    return {title: code(section(text, title), language)[0] for title in titles}
