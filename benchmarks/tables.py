"""Results as tables: plain for the terminal, Markdown for the document."""

from __future__ import annotations

from benchmarks.cases import NOTHING, Case, Column, Figures, Rows

OURS = "this provider"


def ratio(case: Case, rows: Rows, name: str) -> str:
    """Return how many times as long as ours a contestant took."""
    key = case.columns[0].key
    theirs, ours = rows[name][key], rows[OURS][key]
    return f"{theirs / ours:.1f}" if theirs is not None and ours else NOTHING


def cells(case: Case, rows: Rows) -> list[list[str]]:
    """Return the rows of the table, its head first."""
    head = ["", *(column.head for column in case.columns), *(["ratio"] if case.is_time else [])]
    return [head] + [
        [name, *_texts(case.columns, figures)] + ([ratio(case, rows, name)] if case.is_time else [])
        for name, figures in rows.items()
    ]


def plain(case: Case, rows: Rows) -> str:
    """Return the table for the terminal: a line for each figure's name, then the rows."""
    table = cells(case, rows)
    widths = [max(len(row[0]) for row in table), *(10 for _ in table[0][1:])]
    numbers = ["", *(f"({number})" for number, _ in enumerate(table[0][1:], 1))]
    lines = [f"{number} {name}" for number, name in zip(numbers[1:], table[0][1:], strict=True)]
    for row in (numbers, *table[1:]):
        first, *others = zip(row, widths, strict=True)
        lines.append(first[0].ljust(first[1]) + "".join(text.rjust(to) for text, to in others))
    return "\n".join([case.title, *(f"  {line}" for line in lines), ""])


def markdown(table: list[list[str]]) -> str:
    """Return the table for the document."""
    head, *rows = table
    lines = [head, ["---", *("---:" for _ in head[1:])], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _texts(columns: tuple[Column, ...], figures: Figures) -> list[str]:
    return [column.text(figures.get(column.key)) for column in columns]
