"""Measure the provider beside its peers.

``python -m benchmarks`` runs every case; names choose some: ``python -m benchmarks list-10k kill``.
``--write`` writes docs/benchmarks.md and its charts from the results that are kept.
"""

from __future__ import annotations

import argparse
import time

from benchmarks import document, results, tables
from benchmarks.kinds import kill, limits, midnight, purge, rerun, speed, task

CASES = (
    *speed.CASES,
    *task.CASES,
    *rerun.CASES,
    *kill.CASES,
    *limits.CASES,
    *midnight.CASES,
    *purge.CASES,
)


def main() -> None:
    """Measure and print."""
    names = [case.name for case in CASES]
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"of {', '.join(names)}")
    parser.add_argument("--write", "--write-docs", action="store_true", help="write the document")
    parser.add_argument("--kept", action="store_true", help="measure nothing: what is kept is used")
    given = parser.parse_args()
    if unknown := set(given.cases) - set(names):
        parser.error(f"no such case: {', '.join(sorted(unknown))}")
    for case in CASES:
        if given.kept or (given.cases and case.name not in given.cases):
            continue
        began = time.perf_counter()
        result = results.measure(case)
        print(tables.plain(case, result.rows), flush=True)
        print(f"  {time.perf_counter() - began:.0f} s; {result.machine}\n", flush=True)
    if given.write:
        document.write(CASES)


if __name__ == "__main__":
    main()
