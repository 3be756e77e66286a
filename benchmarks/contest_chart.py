"""A bar for each contestant, ours first, as SVG."""

from __future__ import annotations

from html import escape

_WIDTH, _LEFT, _RIGHT = 720, 260, 120
_BAR, _STEP, _TOP = 18, 28, 44
_OURS, _OTHERS, _BLACK, _GREY = "#0b7a75", "#8d99ae", "#1b1f24", "#57606a"
_HEAD = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
    'height="{height}" role="img" font-family="sans-serif" font-size="13">'
)


def contest(title: str, unit: str, values: dict[str, tuple[float, str]]) -> str:
    """A chart with one bar for each name; the first is ours.

    :param title: what is measured.
    :param unit: what the length of a bar is.
    :param values: length and label of each bar.
    """
    most = max(value for value, _ in values.values()) or 1.0
    height = _TOP + _STEP * len(values) + 8
    heading = f"{escape(title)}<tspan fill='{_GREY}' font-weight='normal'>  {escape(unit)}</tspan>"
    lines = [
        _HEAD.format(width=_WIDTH, height=height),
        f"<title>{escape(title)}</title>",
        f'<rect width="{_WIDTH}" height="{height}" rx="6" fill="#ffffff"/>',
        f'<text x="12" y="24" font-weight="bold" fill="{_BLACK}">{heading}</text>',
    ]
    for number, (name, (value, label)) in enumerate(values.items()):
        top = _TOP + _STEP * number
        length = max(1.0, (_WIDTH - _LEFT - _RIGHT) * value / most)
        colour = _OTHERS if number else _OURS
        place = f'y="{top + _BAR - 4}" fill="{_BLACK}"'
        size = f'width="{length:.1f}" height="{_BAR}" rx="2"'
        lines += [
            f'<text x="{_LEFT - 8}" {place} text-anchor="end">{escape(name)}</text>',
            f'<rect x="{_LEFT}" y="{top}" {size} fill="{colour}"/>',
            f'<text x="{_LEFT + length + 6:.1f}" {place}>{escape(label)}</text>',
        ]
    return "\n".join([*lines, "</svg>", ""])
