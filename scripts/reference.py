"""``make reference``: the arguments in docs/operators.md and the tables of columns, from the code.

In docs/operators.md, all below a mark comes from the operators' docstrings. Tables of columns stand
between two marks, and come from the schema.
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

from airflow_provider_talkpilot.operators.base import TalkPilotBigQueryOperator
from airflow_provider_talkpilot.operators.bigquery import (
    TalkPilotCreateViewsOperator,
    TalkPilotLoadCallsOperator,
)
from airflow_provider_talkpilot.operators.calls import (
    TalkPilotEnrichCallsOperator,
    TalkPilotExtractCallsOperator,
)
from airflow_provider_talkpilot.operators.clean import TalkPilotCleanStagingOperator
from airflow_provider_talkpilot.operators.performance import TalkPilotExtractPerformanceOperator
from airflow_provider_talkpilot.operators.requests import TalkPilotRequestsOperator
from airflow_provider_talkpilot.operators.resync import TalkPilotChooseDaysOperator
from airflow_provider_talkpilot.operators.staging import TalkPilotStagingOperator
from airflow_provider_talkpilot.staging.rows.choices import DROPPABLE, HASHABLE, NEEDED
from airflow_provider_talkpilot.staging.rows.columns import (
    CALLS,
    PERFORMANCE,
    Column,
    Source,
    Trait,
)

PACKAGE = "airflow_provider_talkpilot"
ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "operators.md"
MARK = "<!-- Below: from the docstrings, by `make reference`. -->"
OPERATORS: tuple[type[Any], ...] = (
    TalkPilotExtractCallsOperator,
    TalkPilotLoadCallsOperator,
    TalkPilotExtractPerformanceOperator,
    TalkPilotEnrichCallsOperator,
    TalkPilotCleanStagingOperator,
    TalkPilotChooseDaysOperator,
    TalkPilotCreateViewsOperator,
)
# Bases whose arguments are described once for all operators.
SHARED: tuple[type[Any], ...] = (
    TalkPilotStagingOperator,
    TalkPilotRequestsOperator,
    TalkPilotBigQueryOperator,
)
_NOWHERE = inspect.Parameter.empty
# Columns that this package fills; TalkPilot does not send them.
_OURS = {"detail_updated_at", "detail_synced_at", "erased_at", "synced_at"}


@dataclass(frozen=True)
class Docstring:
    """The parts of a docstring: text, arguments, return value."""

    text: str
    params: dict[str, str]
    returns: str

    @classmethod
    def of(cls, documented: type[Any]) -> Docstring:
        """Read a class's own docstring, in Airflow's style."""
        doc = inspect.cleandoc(documented.__doc__ or "")
        text, *fields = re.split(r"^:(?=param |return:)", doc, flags=re.MULTILINE)
        named = [field.split(":", 1) for field in fields]
        told = {name.removeprefix("param "): _markdown(what) for name, what in named}
        returns = told.pop("return", "")
        return cls(_paragraphs(text), told, returns)


def page(text: str) -> str:
    """Return the page, with new text below its mark."""
    head, mark, _ = text.partition(MARK)
    shared = "## Shared arguments\n\n" + _table(
        argument for base in SHARED for argument in _arguments(base, [base])
    )
    return "\n\n".join([head + mark, *map(_section, OPERATORS), shared]) + "\n"


def _section(operator: type[Any]) -> str:
    docstring = Docstring.of(operator)
    bases = [base for base in operator.__mro__ if base.__module__.startswith(PACKAGE)]
    own = [*_arguments(operator, [base for base in bases if base not in SHARED])]
    names = {name for name, _, _ in own}
    shared = [
        name
        for base in bases
        if base in SHARED
        for name in Docstring.of(base).params
        if name not in names
    ]
    more = f"See [shared arguments](#shared-arguments) for {_names(shared)}."
    parts = [
        f"## {operator.__name__}",
        f"In `{operator.__module__}`.",
        docstring.text,
        _table(own),
        *([more] if shared else []),
        f"**Returns** {docstring.returns}",
    ]
    return "\n\n".join(parts)


def _table(arguments: Iterable[tuple[str, str, str]]) -> str:
    rows = (f"| `{name}` | {default} | {what} |" for name, default, what in arguments)
    return "\n".join(["| argument | default | what it is |", "|---|---|---|", *rows])


def _arguments(operator: type[Any], owners: Iterable[type[Any]]) -> Iterator[tuple[str, str, str]]:
    """Yield name, default and description of the arguments that these classes document."""
    described = set[str]()
    for owner in owners:
        parameters = inspect.signature(owner).parameters
        for name, what in Docstring.of(owner).params.items():
            # An operator's own description of its base's argument comes first.
            if name in described:
                continue
            described.add(name)
            given = parameters.get(name) or _inherited(operator, name)
            yield name, _default(given.default), what


def _inherited(operator: type[Any], name: str) -> inspect.Parameter:
    for owner in operator.__mro__:
        found = inspect.signature(owner).parameters.get(name)
        if found:
            return found
    raise ValueError(f"{operator.__name__} documents {name} and has no such argument")


def _default(value: Any) -> str:
    if value is _NOWHERE:
        return "must be given"
    if value in (None, "", ()):
        return "none"
    if isinstance(value, timedelta):
        minutes = value // timedelta(minutes=1)
        return f"{value.days} days" if value.days else f"{minutes} minutes"
    return f"`{json.dumps(value) if isinstance(value, str) else value}`"


def _paragraphs(text: str) -> str:
    """Join the lines of a paragraph; a list keeps its items."""
    blocks = re.split(r"\n\s*\n", text.strip())
    return "\n\n".join(
        "\n".join(_markdown(item) for item in re.split(r"\n(?=- )", block)) for block in blocks
    )


def _markdown(text: str) -> str:
    joined = " ".join(text.split())
    return re.sub(r"``(.+?)``|:\w+:`(.+?)`", lambda m: f"`{m[1] or m[2]}`", joined)


def _columns_in_short(columns: Iterable[Column] = CALLS) -> Iterator[str]:
    yield from ("| column | type | what it is |", "|---|---|---|")
    for column in columns:
        yield f"| `{column.name}` | {column.sql_type} | {column.description} |"


def _columns() -> Iterator[str]:
    yield from ("| column | type | what it is | from | after a purge |", "|---|---|---|---|---|")
    for column in CALLS:
        cells = f"`{column.name}` | {column.sql_type} | {column.description} | {_origin(column)}"
        yield f"| {cells} | {'empty |' if Trait.PURGED in column.traits else '|'}"


def _origin(column: Column) -> str:
    if column.name in _OURS:
        return "provider"
    return "detail" if column.source is Source.DETAIL else "list"


def _choices() -> Iterator[str]:
    yield from ("| columns | keep | drop | hash |", "|---|---|---|---|")
    yield f"| {_names(HASHABLE)} | yes | yes | yes |"
    yield f"| {_names(name for name in DROPPABLE if name not in HASHABLE)} | yes | yes | no |"
    yield f"| {_names(NEEDED)} | yes | no | no |"


def _names(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


COLUMN_TABLES: dict[Path, Callable[[], Iterator[str]]] = {
    ROOT / "README.md": _columns_in_short,
    ROOT / "docs" / "warehouse.md": _columns,
    ROOT / "docs" / "privacy-columns.md": _choices,
    ROOT / "docs" / "performance.md": partial(_columns_in_short, PERFORMANCE),
}


def with_table(text: str, lines: Iterable[str]) -> str:
    """Return a document, with a new table between its two marks."""
    head, rest = text.split("<!-- columns: by `make reference` -->\n")
    _, tail = rest.split("<!-- end of columns -->\n")
    table = "".join(f"{line}\n" for line in lines)
    return f"{head}<!-- columns: by `make reference` -->\n{table}<!-- end of columns -->\n{tail}"


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    for path, lines in COLUMN_TABLES.items():
        path.write_text(with_table(path.read_text(encoding="utf-8"), lines()), encoding="utf-8")
