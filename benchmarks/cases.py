"""Cases to measure, and their results."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

NOTHING = "\N{EN DASH}"
Figures = dict[str, float | None]
Rows = dict[str, Figures]


@dataclass(frozen=True)
class Column:
    """A column of a case's table.

    :param key: the figure's.
    :param head: as the table has it.
    :param places: decimal places.
    :param percent: whether it is a share.
    """

    key: str
    head: str
    places: int = 0
    percent: bool = False

    def text(self, value: float | None) -> str:
        """Return a figure as text; a dash for a missing one."""
        if value is None:
            return NOTHING
        return f"{value:.1%}" if self.percent else f"{value:,.{self.places}f}"


@dataclass(frozen=True)
class Case:
    """Something to measure.

    :param name: by which it is chosen.
    :param title: as the document has it.
    :param columns: its figures; the first is the chart's.
    :param text: how it is measured.
    :param measure: does it.
    :param is_time: whether the chart's figure is compared as a ratio.
    """

    name: str
    title: str
    columns: tuple[Column, ...]
    text: str
    measure: Callable[[], Rows]
    is_time: bool = False
