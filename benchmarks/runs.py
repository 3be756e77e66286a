"""Runs a contestant in its own process, and reads its output."""

from __future__ import annotations

import gzip
import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.contestants import ROOT, Contestant
from benchmarks.server import API_KEY, Server

Interval = tuple[str, str]
DAY = ("2026-03-16", "2026-03-17")
# Longer than any run; one that hangs ends here, and is reported as failed.
LONGEST = 400.0

_ID = re.compile(rb'\\?"id\\?": ?\\?"(c\d{7}-0000-4000-8000-\d{12})')


@dataclass
class Run:
    """The process of a run."""

    process: subprocess.Popen[str]
    began: float

    def end(self, seconds: float = LONGEST) -> dict[str, float] | None:
        """Wait for its figures; return None if it failed."""
        try:
            told, _ = self.process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            return None
        whole = time.perf_counter() - self.began
        if self.process.returncode:
            return None
        figures: dict[str, float] = json.loads(told.splitlines()[-1])
        return figures | {"whole": whole}

    def kill(self) -> None:
        """Kill it, and the processes that it started."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.communicate()


def begin(
    contestant: Contestant,
    kind: str,
    server: Server,
    folder: Path,
    interval: Interval = DAY,
    environment: Mapping[str, str] | None = None,
) -> Run:
    """Start a contestant.

    :param kind: the work: ``list``, ``interval``, ``details``, ``resumed``, ``cursor``.
    :param folder: for its output and what it keeps from run to run.
    :param interval: whose calls.
    :param environment: more variables.
    """
    python = contestant.python
    folder.mkdir(parents=True, exist_ok=True)
    with (folder.parent / f"{folder.name}.log").open("a") as errors:
        began = time.perf_counter()
        process = subprocess.Popen(
            [
                python,
                "-m",
                contestant.module,
                kind,
                server.base_url,
                API_KEY,
                str(folder),
                *interval,
            ],
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": str(ROOT)} | dict(environment or {}),
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            start_new_session=True,
        )
    return Run(process, began)


def run(
    contestant: Contestant,
    kind: str,
    server: Server,
    folder: Path,
    interval: Interval = DAY,
    environment: Mapping[str, str] | None = None,
) -> dict[str, float]:
    """As :func:`begin`, to its end.

    :raises RuntimeError: when it failed.
    """
    figures = begin(contestant, kind, server, folder, interval, environment).end()
    if figures is None:
        log = (folder.parent / f"{folder.name}.log").read_text()
        raise RuntimeError(f"{contestant.name} failed at {kind}:\n{log[-2000:]}")
    return figures


def ids_in(folder: Path) -> set[str]:
    """Find the ids of all calls in files below a folder."""
    return {match.decode() for data in _files(folder) for match in _ID.findall(data)}


def found_in(folder: Path, marks: Mapping[str, str]) -> set[str]:
    """Find the ids of the calls whose marks are in files below a folder."""
    return {
        call_id
        for data in _files(folder)
        for call_id, mark in marks.items()
        if mark.encode() in data
    }


def table_of(folder: Path, kept: str | None) -> dict[str, Any]:
    """What a destination that merges by id has after the runs, oldest first.

    :param kept: a folder that is no output.
    """
    table: dict[str, Any] = {}
    paths = [path for path in folder.rglob("*.jsonl*") if path.is_file()]
    for path in sorted(paths, key=lambda path: path.stat().st_mtime_ns):
        if kept and kept in path.relative_to(folder).parts[:-1]:
            continue
        for line in _read(path).splitlines():
            row = json.loads(line)
            row = row.get("record", row)
            row = row.get("data", row)
            if "agent_id" in row:
                table[row["id"]] = row
    return table


def _files(folder: Path) -> Iterator[bytes]:
    return (_read(path) for path in folder.rglob("*") if path.is_file())


def _read(path: Path) -> bytes:
    data = path.read_bytes()
    return gzip.decompress(data) if data.startswith(b"\x1f\x8b") else data
