"""Measures seconds and memory of lists, and of lists with details."""

from __future__ import annotations

import statistics
import tempfile
from functools import partial
from pathlib import Path

from benchmarks.cases import Case, Column, Rows
from benchmarks.contestants import contestants
from benchmarks.runs import DAY, ids_in, run
from benchmarks.server import talkpilot

RUNS = 3
# A run that takes so long is not taken again: the whole has to end in minutes.
LONG = 25.0

_COLUMNS = (
    Column("seconds", "seconds in the process", 2),
    Column("cpu", "of them CPU", 2),
    Column("whole", "seconds, whole process", 1),
    Column("requests", "requests"),
    Column("peak_mb", "peak MB"),
    Column("runs", "runs"),
)


def measure(kind: str, calls: int, latency: float = 0.0) -> Rows:
    """Run the contestants in turn; return the medians."""
    runs: dict[str, list[dict[str, float]]] = {}
    is_detailed = kind == "details"
    with talkpilot(calls_per_day=calls, details=is_detailed, latency=latency) as server:
        wanted = server.ids(*DAY)
        for _ in range(RUNS):
            for contestant in contestants(kind):
                done = runs.setdefault(contestant.name, [])
                if done and done[0]["whole"] > LONG:
                    continue
                server.reset()
                with tempfile.TemporaryDirectory() as folder:
                    figures = run(contestant, kind, server, Path(folder, "work"))
                    if ids_in(Path(folder, "work")) != wanted:
                        raise RuntimeError(f"{contestant.name} did not write every call")
                counts = server.counts()
                figures["requests"] = counts["agents"] + counts["calls"] + counts["detail"]
                done.append(figures)
    return {
        name: {
            **{key: statistics.median(one[key] for one in done) for key in done[0]},
            "runs": len(done),
        }
        for name, done in runs.items()
    }


def _case(name: str, title: str, text: str, kind: str, calls: int, latency: float = 0.0) -> Case:
    return Case(name, title, _COLUMNS, text, partial(measure, kind, calls, latency), is_time=True)


CASES = (
    _case(
        "list-10k",
        "List 10,000 calls",
        "Each tool reads every page of one day and writes files. HttpOperator holds all responses "
        "in memory at once and writes them unchecked. The provider proves that the list was whole, "
        "checks every field and writes part after part.",
        "list",
        10_000,
    ),
    _case(
        "list-100k",
        "List 100,000 calls",
        "Ten times the calls. Most of the provider's time is httpx. At the default quota these "
        "1,000 pages take an hour, so a faster HTTP client would save no user any time.",
        "list",
        100_000,
    ),
    _case(
        "details",
        "2,000 calls with details",
        "Each tool reads the list of a day and the detail of each call. The provider writes both, "
        "the other tools only details. HttpOperator cannot send a request for each row of a list.",
        "details",
        2_000,
    ),
    _case(
        "details-50ms",
        "2,000 calls with details, each response 50 ms later",
        "As above, with a server that is far away. The Singer SDK sends one request after the "
        "other; the other tools may have 64 requests in flight.",
        "details",
        2_000,
        0.05,
    ),
)
