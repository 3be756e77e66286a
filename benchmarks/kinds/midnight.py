"""Runs days with calls exactly on their bounds: is any lost, is any in two days?"""

from __future__ import annotations

import tempfile
from pathlib import Path

from benchmarks.cases import Case, Column, Rows
from benchmarks.contestants import contestants
from benchmarks.runs import ids_in, run
from benchmarks.server import talkpilot

CALLS, ON_MIDNIGHT = 100, 4
DAYS = tuple((f"2026-03-{day}", f"2026-03-{day + 1}") for day in (16, 17, 18))


def measure() -> Rows:
    """Run three days one after the other, with exclusive and with inclusive bounds."""
    rows: Rows = {contestant.name: {} for contestant in contestants("interval")}
    for bounds in ("exclusive", "inclusive"):
        with (
            tempfile.TemporaryDirectory() as root,
            talkpilot(
                calls_per_day=CALLS, days=len(DAYS), on_midnights=ON_MIDNIGHT, bounds=bounds
            ) as server,
        ):
            wanted = server.ids(DAYS[0][0], DAYS[-1][1])
            for contestant in contestants("interval"):
                folder = Path(root, contestant.module)
                for start, end in DAYS:
                    first = DAYS[0][0] if contestant.goes_on else start
                    run(contestant, "interval", server, folder, (first, end))
                have = ids_in(folder)
                rows[contestant.name] |= {
                    f"lost_{bounds}": len(wanted - have),
                    f"more_{bounds}": len(have - wanted),
                }
    return rows


CASES = (
    Case(
        "midnight",
        "Calls exactly at midnight",
        (
            Column("lost_exclusive", "lost, bounds exclusive"),
            Column("lost_inclusive", "lost, bounds inclusive"),
            Column("more_exclusive", "of other days, exclusive"),
            Column("more_inclusive", "of other days, inclusive"),
        ),
        f"Each tool runs three days one after the other. {ON_MIDNIGHT} calls start at every "
        f"midnight, {ON_MIDNIGHT} more start half a second before it, and each day has {CALLS} "
        "other calls. TalkPilot does not say whether `from` and `to` include their bound. dlt, "
        "Airbyte and Singer continue from their cursor on `created_at`. HttpOperator requests the "
        "interval, as a DAG's templates do.",
        measure,
    ),
)
