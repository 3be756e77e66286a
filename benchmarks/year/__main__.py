"""``python -m benchmarks.year`` prints the year's tables; a minute.

With ``--write`` it puts them into docs/scale.md, and makes the charts in docs/images anew.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from benchmarks.year.report import charts, tables

DOCS = Path(__file__).parents[2] / "docs"


def main(arguments: list[str]) -> None:
    """Simulate, and print or write."""
    found = tables()
    if "--write" not in arguments:
        print("\n\n".join(f"{name}\n{table}" for name, table in found.items()))
        return
    page = DOCS / "scale.md"
    text = page.read_text(encoding="utf-8")
    for name, table in found.items():
        begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
        place = re.search(f"{re.escape(begin)}.*?{re.escape(end)}", text, re.DOTALL)
        if not place:
            raise RuntimeError(f"{page} has no place for {name}")
        text = text.replace(place[0], f"{begin}\n{table}\n{end}")
    page.write_text(text, encoding="utf-8")
    for name, svg in charts().items():
        (DOCS / "images" / f"scale-{name}.svg").write_text(svg, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
