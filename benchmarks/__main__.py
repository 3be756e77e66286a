"""Run every case, the contestants in turn, and print medians and ratios."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from benchmarks.server import Server, talkpilot

RUNS = 3
DLT = "dlt==1.31.0"
_HERE = Path(__file__).parent
_PEERS = _HERE.parent / ".bench"


class Case(NamedTuple):
    """What is measured.

    :param kind: ``list`` or ``details``.
    """

    title: str
    kind: str
    calls: int
    latency: float = 0.0


CASES = (
    Case("list 10,000 calls", "list", 10_000),
    Case("2,000 calls with details", "details", 2_000),
    Case("the same at 50 ms latency", "details", 2_000, 0.05),
)


def main() -> None:
    """Measure and print."""
    contestants: dict[str, list[str]] = {
        "talkpilot": [sys.executable, "-m", "benchmarks.ours"],
        "dlt": [str(_environment("dlt", DLT)), str(_HERE / "peers" / "dlt_calls.py")],
    }
    print(f"{os.cpu_count()} processors, Python {platform.python_version()}, {DLT}")
    print(f"medians of {RUNS} runs in turn; seconds in the process without start-up, and whole\n")
    heads = ("seconds", "CPU s", "whole s", "requests", "peak MB")
    print(f"{'case':<28}{'tool':<12}" + "".join(f"{head:>10}" for head in heads) + f"{'ratio':>8}")
    for case in CASES:
        with talkpilot(case.calls, case.latency) as server:
            _print_case(case, _measure(case, server, contestants))


def _measure(
    case: Case, server: Server, contestants: dict[str, list[str]]
) -> dict[str, dict[str, float]]:
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in contestants}
    for _ in range(RUNS):
        for name, command in contestants.items():
            with tempfile.TemporaryDirectory() as folder:
                started = time.perf_counter()
                ended = subprocess.run(
                    [*command, case.kind, *server, folder],
                    check=True,
                    stdout=subprocess.PIPE,
                    text=True,
                )
                figures = json.loads(ended.stdout.splitlines()[-1])
                figures["whole"] = time.perf_counter() - started
            if figures["rows"] != case.calls:
                raise RuntimeError(f"{name} gave {figures['rows']} rows of {case.calls}")
            runs[name].append(figures)
    middle: Callable[[list[float]], float] = statistics.median
    return {
        name: {key: middle([run[key] for run in measured]) for key in measured[0]}
        for name, measured in runs.items()
    }


def _print_case(case: Case, results: dict[str, dict[str, float]]) -> None:
    fastest = results["talkpilot"]["seconds"]
    for number, (name, figures) in enumerate(results.items()):
        print(
            f"{case.title if not number else '':<28}{name:<12}{figures['seconds']:>10.2f}"
            f"{figures['cpu']:>10.2f}{figures['whole']:>10.2f}{figures['requests']:>10.0f}"
            f"{figures['peak_mb']:>10.0f}{figures['seconds'] / fastest:>8.1f}"
        )


def _environment(name: str, requirement: str) -> Path:
    """An environment of its own for a peer, made once."""
    folder = _PEERS / name
    python = folder / "bin" / "python"
    if not python.exists():
        print(f"Installing {requirement} into {folder.relative_to(_HERE.parent)} …")
        uv = str(Path(sys.executable).with_name("uv"))
        subprocess.run([uv, "-q", "venv", "--no-project", str(folder)], check=True)
        subprocess.run(
            [uv, "-q", "pip", "install", "--python", str(python), requirement], check=True
        )
    return python


if __name__ == "__main__":
    main()
