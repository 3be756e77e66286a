"""Purges and erases calls, and runs each tool again: which callers are left?"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from airflow_provider_talkpilot.sandbox import BigQueryEmulator
from benchmarks.cases import Case, Column, Figures, Rows
from benchmarks.contestants import HTTP, LOADED, Contestant, contestants
from benchmarks.runs import DAY, found_in, run, table_of
from benchmarks.server import talkpilot
from benchmarks.server.data import mark_of

CALLS, PURGED, ERASED = 200, 5, 5


def measure() -> Rows:
    """Run, purge and erase, run again, and grep."""
    rows: Rows = {}
    with tempfile.TemporaryDirectory() as root, BigQueryEmulator() as bigquery:
        with bigquery.client() as client:
            client.create_dataset("demo.bench")
        for contestant in [*contestants("details", LOADED), HTTP]:
            folder = Path(root, contestant.module.rpartition(".")[2])
            rows[contestant.name] = _left(contestant, folder, bigquery.environment)
    return rows


def _left(contestant: Contestant, folder: Path, variables: dict[str, str]) -> Figures:
    kind = "list" if contestant is HTTP else "details"
    with talkpilot(calls_per_day=CALLS, details=True) as server:
        # Ours is not cleaned the first time, as if its last task was killed.
        first = "uncleaned" if contestant is LOADED else kind
        run(contestant, first, server, folder, DAY, variables)
        ids = sorted(server.ids(*DAY))
        purged, erased = ids[:PURGED], ids[-ERASED:]
        for call_id in purged:
            server.purge(call_id)
        for call_id in erased:
            server.erase(call_id)
        run(contestant, kind, server, folder, DAY, variables)
    marks = {call_id: mark_of(call_id) for call_id in (*purged, *erased)}
    table = table_of(folder, contestant.kept if contestant is not HTTP else None)
    if len(table) < CALLS - ERASED:
        raise RuntimeError(f"{contestant.name} has {len(table)} of {CALLS} calls")
    told = {one for one in marks if one in table and marks[one] in json.dumps(table[one])}
    kept = found_in(folder / contestant.kept, marks) if contestant.kept else None
    return {
        "purged_table": len(told.intersection(purged)),
        "erased_table": len(told.intersection(erased)),
        "purged_files": None if kept is None else len(kept.intersection(purged)),
        "erased_files": None if kept is None else len(kept.intersection(erased)),
    }


CASES = (
    Case(
        "purge",
        f"{PURGED} calls purged and {ERASED} erased, then run again",
        (
            Column("purged_table", "purged: callers left in the table"),
            Column("erased_table", "erased: left in the table"),
            Column("purged_files", "purged: left in files that it keeps"),
            Column("erased_files", "erased: left in files"),
        ),
        f"Each tool runs a day of {CALLS} calls, and runs it again after calls were purged or "
        "erased. Then table and files are searched for the callers. The provider's table is in a "
        "BigQuery emulator. The other tools' table is their rows merged by id, the best that a "
        "destination can do. Files are those that a tool keeps: the provider's staging, dlt's load "
        "packages, and HttpOperator's bucket, where each run overwrites its list. Airbyte and "
        "Singer keep no files.",
        measure,
    ),
)
