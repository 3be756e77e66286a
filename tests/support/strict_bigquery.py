"""A stricter BigQuery on this machine: local-bigquery, in a process of its own.

Like Google's, and unlike the sandbox's emulator, it refuses the id of an earlier job, lets tables
expire, and counts the rows that a merge changes. It needs a newer Python than some Airflows allow,
so ``make test-strict`` makes an environment for it.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import ClassVar

from airflow_provider_talkpilot.sandbox import BigQueryEmulator
from airflow_provider_talkpilot.sandbox.emulators.processes import (
    HOST,
    EmulatorError,
    GuardedProcess,
    responds,
)

PYTHON = Path(__file__).parents[2] / ".venv-strict" / "bin" / "python"

_START_SECONDS = 120
_LISTENS = re.compile(r"Uvicorn running on http://[\d.]+:(\d+)")
# The DuckDB extensions that it needs come from Python packages, else it would download them.
_PROGRAM = """
import sys
from duckdb_extensions import import_extension
for name in ("icu", "ducklake", "spatial"):
    import_extension(name)
from local_bigquery.cli import main
main(sys.argv[1:])
"""


class StrictBigQueryEmulator(BigQueryEmulator):
    """Like the sandbox's emulator for clients, but stricter."""

    python: ClassVar[Path] = PYTHON

    def _start(self) -> None:
        if not self.python.exists():
            raise EmulatorError(f"{self.python} is not there: make test-strict makes it")
        home, data = self._folder() / "home", self._folder() / "data"
        for folder in (home, data, self.gcs_root):
            folder.mkdir(parents=True, exist_ok=True)
        command = [str(self.python), "-c", _PROGRAM, "serve", "--host", HOST]
        # It chooses its ports itself and tells the one in its log: none can be lost in between.
        command += ["--port", str(self._port), "--grpc-port", "0"]
        command += ["--project", self.project, "--data-dir", str(data)]
        environment = {"HOME": str(home), "GCS_LOCAL_ROOT": str(self.gcs_root)}
        process = self._process = GuardedProcess(command, environment)

        def port() -> int | None:
            match = _LISTENS.search(process.log())
            return int(match[1]) if match else None

        self.url = f"http://{HOST}:{process.wait_for(port, _START_SECONDS)}"
        datasets = f"{self.url}/bigquery/v2/projects/{self.project}/datasets"
        process.wait_for(lambda: responds(datasets), _START_SECONDS)
