"""Runs two processes on one key: how many refusals, and how much of the limit is used?"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from benchmarks.cases import Case, Column, Rows
from benchmarks.contestants import contestants
from benchmarks.runs import begin, ids_in
from benchmarks.server import talkpilot

CALLS = 150
PER_MINUTE, MINUTE_SECONDS = 60, 3
DAYS = (("2026-03-16", "2026-03-17"), ("2026-03-17", "2026-03-18"))
# Four times what the limit itself makes of it.
LONGEST = 4 * 2 * CALLS / PER_MINUTE * MINUTE_SECONDS


def measure() -> Rows:
    """Run each contestant twice at the same time, each for a day."""
    rows: Rows = {}
    with (
        tempfile.TemporaryDirectory() as root,
        talkpilot(
            calls_per_day=CALLS,
            days=len(DAYS),
            details=True,
            per_minute=PER_MINUTE,
            minute_seconds=MINUTE_SECONDS,
        ) as server,
    ):
        variables = {"BENCH_LIMIT": f"{PER_MINUTE} {MINUTE_SECONDS}"}
        for contestant in contestants("details"):
            server.reset()
            folder = Path(root, contestant.module)
            began = time.perf_counter()
            running = [
                begin(contestant, "details", server, folder / day[0], day, variables)
                for day in DAYS
            ]
            ended = [one.end(LONGEST) for one in running]
            counts = server.counts()
            accepted = sum(counts[kind] for kind in ("agents", "calls", "detail"))
            have, want = ids_in(folder), set[str]().union(*(server.ids(*day) for day in DAYS))
            rows[contestant.name] = {
                "refused": counts["refused"],
                "refused_share": counts["refused"] / (accepted + counts["refused"]),
                "used": counts["share"],
                "failed": ended.count(None),
                "missing": len(want - have),
                "seconds": time.perf_counter() - began,
            }
    return rows


CASES = (
    Case(
        "limits",
        f"Two processes on one key, {PER_MINUTE} requests a minute",
        (
            Column("refused", "refusals (429)"),
            Column("refused_share", "of all requests", percent=True),
            Column("used", "of the limit used", percent=True),
            Column("failed", "processes that failed"),
            Column("missing", "calls missing"),
            Column("seconds", "seconds", 1),
        ),
        f"Each process reads a day of {CALLS} calls with details. The minute is scaled down to "
        f"{MINUTE_SECONDS} s, so waits in whole seconds weigh more than in practice. Airbyte uses "
        "its `HTTPAPIBudget` with the right limit and headers. dlt (with its default of 5 workers) "
        "and Singer use their own retries and wait as `Retry-After` says.",
        measure,
    ),
)
