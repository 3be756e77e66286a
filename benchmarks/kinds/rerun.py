"""The same interval again, nothing changed: how many requests does it cost?"""

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
    """A day, the same day again, then the day before it."""
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
        "A day with details runs twice: to see edits, purges and late scores, an interval has "
        "to be read again. Then the day before it runs, as a backfill does. A cursor on "
        "`updated_at` spares the details too, in tools that filter by one; it has one mark for "
        "all intervals, so that what is older than the mark is left out. The provider's first "
        "run is loaded and its staging cleaned: the table knows.",
        measure,
    ),
)
