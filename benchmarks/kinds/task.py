"""Measures a list as Airflow runs it: ``airflow dags test``, with all that it starts."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from benchmarks.cases import Case, Column, Rows
from benchmarks.contestants import HTTP, OURS, ROOT, Contestant
from benchmarks.runs import DAY, ids_in
from benchmarks.server import API_KEY, Server, talkpilot

CALLS, RUNS = 10_000, 3
_DAGS = {OURS: "ours", HTTP: "http"}


def measure() -> Rows:
    """Run each DAG in turn, in its own environment."""
    runs: dict[Contestant, list[float]] = {OURS: [], HTTP: []}
    starts: dict[Contestant, list[float]] = {OURS: [], HTTP: []}
    with tempfile.TemporaryDirectory() as root, talkpilot(calls_per_day=CALLS) as server:
        homes = {contestant: Path(root, _DAGS[contestant]) for contestant in runs}
        for contestant, home in homes.items():
            _airflow(contestant, home, server, "db", "migrate")
        for _ in range(RUNS):
            for contestant, home in homes.items():
                starts[contestant].append(_airflow(contestant, home, server, "version"))
                seconds = _airflow(contestant, home, server, "dags", "test", "bench_list", DAY[1])
                runs[contestant].append(seconds)
        for contestant, home in homes.items():
            if ids_in(home / "files") != server.ids(*DAY):
                raise RuntimeError(f"{contestant.name} did not write every call")
    return {
        contestant.name: {
            "whole": statistics.median(runs[contestant]),
            "start": statistics.median(starts[contestant]),
            "runs": RUNS,
        }
        for contestant in runs
    }


def _airflow(contestant: Contestant, home: Path, server: Server, *words: str) -> float:
    """Run Airflow's program; return the seconds that it took."""
    python = Path(contestant.python)
    connections: dict[str, dict[str, object]] = {
        "TALKPILOT_DEFAULT": {"conn_type": "talkpilot", "host": server.base_url},
        "TALKPILOT_HTTP": {"conn_type": "http", "host": server.base_url},
        "BENCH_FILES": {"conn_type": "fs", "extra": {"path": str(home / "files")}},
    }
    variables = {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "benchmarks" / "dags" / _DAGS[contestant]),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
        "PATH": f"{python.parent}:{os.environ['PATH']}",
        **{
            f"AIRFLOW_CONN_{name}": json.dumps(told | {"password": API_KEY})
            for name, told in connections.items()
        },
    }
    began = time.perf_counter()
    ended = subprocess.run(
        [str(python), "-m", "airflow", *words],
        env=os.environ | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=400,
    )
    if ended.returncode:
        raise RuntimeError(f"{contestant.name} failed:\n{ended.stdout[-3000:]}")
    return time.perf_counter() - began


CASES = (
    Case(
        "task",
        "List 10,000 calls as Airflow runs it",
        (
            Column("whole", "seconds, airflow dags test", 1),
            Column("start", "seconds, airflow version", 1),
            Column("runs", "runs"),
        ),
        "A DAG run in one process, in an Airflow with its own database. Airflow itself takes most "
        "of the time: the seconds of `airflow version` are its start alone. The provider's "
        "environment also contains Google's provider, HttpOperator's does not.",
        measure,
        is_time=True,
    ),
)
