"""Kills each tool in the middle of the details, and runs it again: what is fetched twice?"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from benchmarks.cases import Case, Column, Rows
from benchmarks.contestants import contestants
from benchmarks.runs import DAY, begin, ids_in, run
from benchmarks.server import talkpilot

CALLS = 1_000
LATENCY = 0.02


def measure() -> Rows:
    """Kill every contestant once half of the details were fetched."""
    rows: Rows = {}
    with (
        tempfile.TemporaryDirectory() as root,
        talkpilot(calls_per_day=CALLS, details=True, latency=LATENCY) as server,
    ):
        for contestant in contestants("details"):
            folder = Path(root, contestant.module)
            server.reset()
            running = begin(contestant, "details", server, folder)
            while server.counts()["detail"] < CALLS // 2:
                if running.process.poll() is not None:
                    raise RuntimeError(f"{contestant.name} ended before it was killed")
                time.sleep(0.01)
            running.kill()
            before = server.counts()["detail"]
            run(contestant, "resumed", server, folder)
            if ids_in(folder) != server.ids(*DAY):
                raise RuntimeError(f"{contestant.name} did not write every call")
            counts = server.counts()
            rows[contestant.name] = {"twice": counts["twice"], "before": before}
    return rows


CASES = (
    Case(
        "kill",
        f"Killed at half of {CALLS:,} details, and run again",
        (Column("twice", "details fetched twice"), Column("before", "fetched before the kill")),
        "The process gets SIGKILL, then the same command runs again. If a tool has reported a "
        "state, it gets its last state back.",
        measure,
    ),
)
