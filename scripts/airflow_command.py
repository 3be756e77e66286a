"""Runs Airflow's commands, one after the other, each to its end."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.support.signals import signals_held_back

DAGS_FOLDER = Path(__file__).resolve().parents[1] / "dags"
STOP_SECONDS = 5
LOG_LINES = 20
# Variables of the caller's own Airflow, Google Cloud and Python, which must not reach the commands.
NOT_OURS = (
    "AIRFLOW_",
    "BIGQUERY_",
    "CLOUDSDK_",
    "GCLOUD_",
    "GOOGLE_",
    "PYTHONHOME",
    "PYTHONPATH",
    "STORAGE_",
)


class DemoError(Exception):
    """An error for the person who started the program.

    :param log: the lines of Airflow's log that explain it.
    """

    def __init__(self, message: str, log: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.log = log


class Airflow:
    """Airflow's commands, with a home of their own; a file gets what they print.

    :param home: the folder for all files of Airflow.
    :param log: the file.
    :param settings: environment variables of the commands.
    :param python: the Python of the environment with Airflow.
    """

    def __init__(
        self, home: Path, log: Path, settings: Mapping[str, str], python: str = sys.executable
    ) -> None:
        self._log = log
        self._python = python
        self._environment = _without_callers(os.environ) | {
            "AIRFLOW_HOME": str(home / "airflow"),
            "AIRFLOW__CORE__DAGS_FOLDER": str(DAGS_FOLDER),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
            "HOME": str(home),
            "PYTHONUNBUFFERED": "1",
            **settings,
        }

    def run(self, *arguments: str, seconds: float, module: str = "airflow") -> None:
        """Run one command to its end.

        :param module: the program.
        :raises DemoError: when it fails, or takes longer than ``seconds``.
        """
        with self._log.open("ab") as log, contextlib.ExitStack() as stack:
            begin = log.tell()
            with signals_held_back():
                process = subprocess.Popen(
                    [self._python, "-m", module, *arguments],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env=self._environment,
                    # A Ctrl-C goes to this program, which then ends the command.
                    start_new_session=True,
                )
                stack.callback(_end, process)
            self._wait(process, begin, seconds)

    def _wait(self, process: subprocess.Popen[bytes], begin: int, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while True:
            with contextlib.suppress(subprocess.TimeoutExpired):
                if process.wait(0.5):
                    raise DemoError("Airflow's command failed.", self._tail(begin))
                return
            tail = self._tail(begin)
            if any("up_for_retry" in line.lower() for line in tail):
                # The next try begins in minutes, too late for a demo.
                raise DemoError("A task of the DAG failed.", tail)
            if time.monotonic() > deadline:
                raise DemoError(f"Airflow did not end within {seconds:.0f} seconds.", tail)

    def _tail(self, begin: int) -> list[str]:
        """Return the last lines, without those that ``dags test`` repeats while it waits."""
        with self._log.open("rb") as log:
            log.seek(begin)
            lines = log.read().decode(errors="replace").splitlines()
        return [line for line in lines if "No tasks to run" not in line][-LOG_LINES:]


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a command and its processes; Airflow ends sooner on SIGINT than on SIGTERM."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGINT)
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _without_callers(environment: Mapping[str, str]) -> dict[str, str]:
    return {k: v for k, v in environment.items() if not k.startswith(NOT_OURS)}
