"""Draws bars and lines as SVG; the same figures make the same file."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

COLOURS = ("#0b7a75", "#d9822b", "#5c6bc0", "#b3446c", "#8a9a5b", "#607d8b")
WIDTH, BAR, GAP = 760, 16, 14
LEFT, RIGHT, TOP, PLOT = 190, 70, 64, 240
_STYLE = (
    "<style>text{font:13px system-ui,sans-serif;fill:#1f2933}.t{font-size:16px;font-weight:600}"
    ".s{fill:#52606d}.g{stroke:#d8dee4}svg{background:#fff}</style>"
)


def bars(
    title: str,
    groups: Sequence[str],
    series: Mapping[str, Sequence[float]],
    *,
    unit: str = "",
    stacked: bool = False,
) -> str:
    """Horizontal bars.

    :param title: what is shown.
    :param groups: what each group of bars is about.
    :param series: a figure for each group, by name.
    :param unit: written after a figure.
    :param stacked: a group's figures one after the other in one bar.
    :return: the file's text.
    """
    rows = 1 if stacked else len(series)
    columns = list(zip(*series.values(), strict=True))
    most = max((sum(c) if stacked else max(c) for c in columns), default=0) or 1.0
    scale = (WIDTH - LEFT - RIGHT) / most
    body, y = list[str](), float(TOP)
    for group, figures in zip(groups, columns, strict=True):
        middle = y + rows * BAR / 2 + 5
        body.append(_text(LEFT - 10, middle, group, anchor="end"))
        x = float(LEFT)
        for number, figure in enumerate(figures):
            width = max(0.5, figure * scale) if figure else 0
            body.append(_bar(x, y, width, number))
            if stacked:
                x += figure * scale
            else:
                body.append(_text(LEFT + width + 6, y + 13, _figure(figure) + unit, kind="s"))
                y += BAR
        if stacked:
            body.append(_text(x + 6, y + 13, _figure(sum(figures)) + unit, kind="s"))
            y += BAR
        y += GAP
    return _drawing(title, list(series), body, y + 6)


def lines(title: str, series: Mapping[str, Sequence[float]], *, x_label: str, y_label: str) -> str:
    """Lines over equal steps.

    :param title: what is shown.
    :param series: figures in order, by name.
    :param x_label: what a step is.
    :param y_label: what a figure is.
    :return: the file's text.
    """
    left, bottom = 70, TOP + PLOT
    steps = max(len(figures) for figures in series.values())
    most = _round_up(max(max(figures) for figures in series.values()))
    across = (WIDTH - left - 30) / max(1, steps - 1)
    body = list[str]()
    for quarter in range(5):
        y = bottom - PLOT * quarter / 4
        body.append(f'<line class="g" x1="{left}" x2="{WIDTH - 30}" y1="{y:.0f}" y2="{y:.0f}"/>')
        body.append(_text(left - 8, y + 4, _figure(most * quarter / 4), kind="s", anchor="end"))
    for number, figures in enumerate(series.values()):
        points = " ".join(
            f"{left + across * step:.1f},{bottom - PLOT * figure / most:.1f}"
            for step, figure in enumerate(figures)
        )
        colour = COLOURS[number % len(COLOURS)]
        body.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>')
    body.append(_text(WIDTH - 30, bottom + 22, f"{x_label} 1 to {steps}", kind="s", anchor="end"))
    body.append(_text(left, bottom + 22, y_label, kind="s"))
    return _drawing(title, list(series), body, bottom + 36)


def _drawing(title: str, names: Sequence[str], body: Sequence[str], height: float) -> str:
    head = [_text(16, 26, title, kind="t")]
    x = 16.0
    for number, name in enumerate(names):
        head.append(_bar(x, 38, 12, number, height=12))
        head.append(_text(x + 18, 49, name, kind="s"))
        x += 30 + 6.3 * len(name)
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" '
        f'width="{WIDTH}" height="{height:.0f}" role="img" aria-label="{escape(title)}">'
    )
    ground = f'<rect width="{WIDTH}" height="{height:.0f}" fill="#fff"/>'
    return "\n".join([svg, _STYLE, ground, *head, *body, "</svg>"]) + "\n"


def _bar(x: float, y: float, width: float, number: int, height: float = BAR - 3) -> str:
    colour = COLOURS[number % len(COLOURS)]
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height}" fill="{colour}"/>'


def _text(x: float, y: float, text: str, *, kind: str = "", anchor: str = "start") -> str:
    name = f' class="{kind}"' if kind else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{name}>{escape(text)}</text>'


def _figure(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 or value == int(value) else f"{value:.1f}"


def _round_up(value: float) -> float:
    """Return the next number that four steps divide into round numbers."""
    if value <= 0:
        return 1.0
    size = 10.0 ** math.floor(math.log10(value))
    return next(size * step for step in (1, 2, 4, 8, 10) if size * step >= value)
