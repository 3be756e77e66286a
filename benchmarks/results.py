"""Keeps results of cases in ``.bench/results``, so that cases can be measured one by one."""

from __future__ import annotations

import json
import os
import platform
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from benchmarks.cases import Case, Rows
from benchmarks.contestants import BENCH

FOLDER = BENCH / "results"


@dataclass(frozen=True)
class Result:
    """What came of a case, where and when.

    :param measured_at: ISO 8601, to the minute.
    :param machine: processors, memory, Python, Airflow.
    :param load: how many processes wanted a processor before and after, averaged over a minute.
    """

    rows: Rows
    measured_at: str
    machine: str
    load: tuple[float, float]


def measure(case: Case) -> Result:
    """Measure a case, and keep its result."""
    before = os.getloadavg()[0]
    rows = case.measure()
    now = f"{datetime.now(UTC):%Y-%m-%d %H:%M}"
    result = Result(rows, now, _machine(), (before, os.getloadavg()[0]))
    FOLDER.mkdir(parents=True, exist_ok=True)
    _path(case).write_text(json.dumps(asdict(result), indent=1))
    return result


def kept(case: Case) -> Result | None:
    """Return the last result of a case."""
    try:
        return Result(**json.loads(_path(case).read_text()))
    except FileNotFoundError:
        return None


def _path(case: Case) -> Path:
    return FOLDER / f"{case.name}.json"


def _machine() -> str:
    gigabytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{os.cpu_count()} processors, {gigabytes:.0f} GiB, {platform.system()}, "
        f"Python {platform.python_version()}, Airflow {version('apache-airflow-core')}"
    )
