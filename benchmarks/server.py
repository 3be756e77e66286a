"""The TalkPilot that all contestants talk to: the sandbox, in a process of its own."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

DAY = "2026-03-16"
NEXT_DAY = "2026-03-17"


class Server(NamedTuple):
    """Where the API is, and a key for it."""

    base_url: str
    api_key: str


@contextmanager
def talkpilot(calls: int, latency: float = 0.0) -> Iterator[Server]:
    """Run a TalkPilot without rate limits.

    :param calls: how many calls one agent had on one day.
    :param latency: seconds before every answer.
    """
    with tempfile.TemporaryDirectory() as folder:
        lines = Path(folder, "env")
        options = {
            "port": 0,
            "start": DAY,
            "days": 1,
            "calls-per-day": calls,
            "agents": 1,
            "requests-per-minute": "none",
            "requests-per-hour": "none",
            "latency": latency,
            "env-file": lines,
        }
        command = [sys.executable, "-m", "airflow_provider_talkpilot.sandbox", "--no-bigquery"]
        command += [word for name, value in options.items() for word in (f"--{name}", str(value))]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            assert process.stdout
            if not any(line.startswith("Ready") for line in process.stdout):
                raise RuntimeError("the sandbox did not start")
            connection = next(
                json.loads(line.partition("=")[2])
                for line in shlex.split(lines.read_text())
                if line.startswith("AIRFLOW_CONN_TALKPILOT_DEFAULT=")
            )
            yield Server(connection["host"], connection["password"])
        finally:
            process.terminate()
            process.wait()
