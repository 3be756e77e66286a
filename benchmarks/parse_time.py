"""How long Airflow parses each shipped DAG file, less what every DAG file costs.

Airflow's processor parses each file in a process of its own, in which Airflow's own modules are
mostly imported. So each measurement is a fresh process: it first imports the processor and makes a
DAG of Airflow's own parts, then runs the file, and only the second is counted. The program prints
the best of some tries, and ends with 1 where a file takes longer than it may. The limit is on CPU
time, which other work on the machine hardly changes. ``python -m benchmarks.parse_time`` runs it.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

DAGS = Path(__file__).parents[1] / "dags"
TRIES = 5
LIMIT_SECONDS = 0.3  # of CPU

_CHILD = """
import gc, json, runpy, sys, time
from datetime import datetime, timezone

import airflow.dag_processing.processor
from airflow.providers.common.compat.sdk import (
    DAG, AssetAlias, BaseHook, BaseOperator, BaseOperatorLink, BaseSensorOperator,
    ObjectStoragePath, Param, Variable, XCom, conf, task, task_group,
)
from airflow.timetables.interval import CronDataIntervalTimetable
from airflow.triggers.base import BaseTrigger

with DAG(
    "of_airflow_alone",
    schedule=CronDataIntervalTimetable("@daily", timezone="UTC"),
    start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
    params={"start": Param(None, type=["null", "string"])},
):
    first = BaseOperator(task_id="first")
    first >> BaseOperator(task_id="second", outlets=[AssetAlias("alias")])

gc.collect()
gc.freeze()  # as Airflow's processor does
modules, wall, cpu = len(sys.modules), time.perf_counter(), time.process_time()
runpy.run_path(sys.argv[1])
wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
print(json.dumps([wall, cpu, len(sys.modules) - modules]))
"""


def measure(file: Path, tries: int = TRIES) -> tuple[float, float, int]:
    """Parse a DAG file in fresh processes.

    :param file: the DAG file.
    :param tries: in how many processes.
    :return: seconds, seconds of CPU, both the least of all tries; and modules imported.
    """
    found = []
    for _ in range(tries):
        done = subprocess.run(
            [sys.executable, "-c", _CHILD, str(file)], capture_output=True, text=True, check=True
        )
        found.append(json.loads(done.stdout.splitlines()[-1]))
    walls, cpus, modules = zip(*found, strict=True)
    return min(walls), min(cpus), max(modules)


def main() -> int:
    """Measure and print."""
    slow = []
    for file in sorted(DAGS.glob("*.py")):
        seconds, cpu, modules = measure(file)
        print(f"{file.name:36} {seconds:.2f} s ({cpu:.2f} s of CPU), {modules} modules", flush=True)
        if cpu > LIMIT_SECONDS:
            slow.append(file.name)
    if slow:
        print(f"Longer than {LIMIT_SECONDS} s: {', '.join(slow)}")
    return len(slow) > 0


if __name__ == "__main__":
    sys.exit(main())
