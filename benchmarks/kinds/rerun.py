"""Runs an unchanged interval again: how many requests does it cost?"""

from __future__ import annotations

import tempfile
from pathlib import Path

from airflow_provider_talkpilot.sandbox import BigQueryEmulator
from benchmarks.cases import Case, Column, Figures, Rows
from benchmarks.contestants import LOADED, Contestant, contestants
from benchmarks.runs import ids_in, run, table_of
from benchmarks.server import Server, talkpilot

CALLS = 1_000
SECOND, FIRST = ("2026-03-17", "2026-03-18"), ("2026-03-16", "2026-03-17")


def measure() -> Rows:
    """Run a day, the same day again, then the day before it."""
    rows: Rows = {}
    with (
        tempfile.TemporaryDirectory() as root,
        talkpilot(calls_per_day=CALLS, days=2, details=True) as server,
        BigQueryEmulator() as bigquery,
    ):
        with bigquery.client() as client:
            client.create_dataset("demo.bench")
        for kind, remark in (("details", ""), ("cursor", ", cursor on updated_at")):
            for contestant in contestants(kind, LOADED):
                name = contestant.name + remark
                if contestant is LOADED and kind == "cursor":
                    continue
                folder = Path(root, f"{contestant.module.rpartition('.')[2]}_{kind}")
                rows[name] = _again(contestant, kind, server, folder, bigquery.environment)
    return rows


def _again(
    contestant: Contestant, kind: str, server: Server, folder: Path, variables: dict[str, str]
) -> Figures:
    run(contestant, kind, server, folder, SECOND, variables)
    server.reset()
    run(contestant, kind, server, folder, SECOND, variables)
    counts = server.counts()
    run(contestant, kind, server, folder, FIRST, variables)
    have = set(table_of(folder, contestant.kept)) if contestant is LOADED else ids_in(folder)
    return {
        "details": counts["detail"],
        "lists": counts["agents"] + counts["calls"],
        "missing": len(server.ids(*FIRST) - have),
    }


CASES = (
    Case(
        "rerun",
        f"An unchanged day of {CALLS:,} calls again",
        (
            Column("details", "detail requests"),
            Column("lists", "list requests"),
            Column("missing", "calls missing after the day before was run too"),
        ),
        "Each tool runs a day with details twice: only a second reading shows edits, purges and "
        "late scores. Then it runs the day before, as a backfill does. A cursor on `updated_at` "
        "saves the details too, but it has one position for all intervals, so it leaves out the "
        "older day's calls. The provider's first run is loaded and its staging is cleaned, so it "
        "learns from the table which details it has.",
        measure,
    ),
)
