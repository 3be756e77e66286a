"""Programs as a user runs them: Airflow's command line, and ``make``'s, with homes of their own.

Nothing here needs pytest, because ``make ui`` runs it too.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self, TypeVar

import psutil

REPOSITORY = Path(__file__).parents[2]
SHIPPED_DAGS = REPOSITORY / "dags"
DAG = "talkpilot_calls_to_bigquery"

# A busy machine takes ten times as long as a quiet one.
COMMAND_SECONDS = START_SECONDS = 300
PROGRAM_STOP_SECONDS = 180
TAIL = 6000
# A test that must end before midnight takes less.
NEAR_MIDNIGHT = timedelta(minutes=10)

# The caller's settings of Airflow and Google are for the caller's own work.
_NOT_OURS = ("AIRFLOW", "BIGQUERY_", "CLOUDSDK_", "GCLOUD_", "GOOGLE_", "STORAGE_", "GCSFS_")

Found = TypeVar("Found")


def clean_environment(**settings: str) -> dict[str, str]:
    """The caller's environment without Airflow's and Google's variables, and with ``settings``."""
    bin_folder = str(Path(sys.executable).parent)
    kept = {k: v for k, v in os.environ.items() if not k.startswith(_NOT_OURS)}
    path = f"{bin_folder}{os.pathsep}{kept.get('PATH', '')}"
    return kept | {"PATH": path, "NO_PROXY": "127.0.0.1,localhost"} | settings


def eventually(
    look: Callable[[], Found | None],
    seconds: float,
    what: str,
    tail: Callable[[], str] = str,
    every: float = 0.25,
) -> Found:
    """Look until something is found; fail with ``what`` and the log's tail after ``seconds``."""
    deadline = time.monotonic() + seconds
    while (found := look()) is None:
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {what}\n{tail()}"
        time.sleep(every)
    return found


def avoid_midnight() -> None:
    """Wait for midnight (UTC) if it is near; else the scheduler would run one more day."""
    now = datetime.now(UTC)
    midnight = datetime.combine(now.date() + timedelta(days=1), datetime.min.time(), UTC)
    if midnight - now < NEAR_MIDNIGHT:
        time.sleep((midnight - now).total_seconds() + 1)


def processes_with(name: str, value: str) -> list[int]:
    """Ids of the processes that have this environment variable."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if process.environ().get(name) == value:
                found.append(process.pid)
    return found


class Airflow:
    """Airflow's command line.

    :param home: its AIRFLOW_HOME and its HOME; made where it is missing.
    :param dags: its DAGs folder.
    """

    def __init__(self, home: Path, dags: Path = SHIPPED_DAGS) -> None:
        self.home = home
        home.mkdir(exist_ok=True)
        self.environment = clean_environment(
            HOME=str(home),
            AIRFLOW_HOME=str(home),
            AIRFLOW__CORE__DAGS_FOLDER=str(dags),
            AIRFLOW__CORE__LOAD_EXAMPLES="False",
            # On a busy machine imports alone take longer than Airflow's 30 s.
            AIRFLOW__CORE__DAGBAG_IMPORT_TIMEOUT="300",
            AIRFLOW__DAG_PROCESSOR__DAG_FILE_PROCESSOR_TIMEOUT="300",
            # Its processes share a SQLite, and write while one of them is held up.
            AIRFLOW__DATABASE__SQL_ALCHEMY_CONN=f"sqlite:///{home}/airflow.db?timeout=60",
            AIRFLOW__USAGE_DATA_COLLECTION__ENABLED="False",
            PYTHONUNBUFFERED="1",
        )

    def run(self, *arguments: str, settings: Mapping[str, str] | None = None) -> str:
        """Run one command, which must succeed.

        :param settings: environment variables for it.
        :return: its output.
        """
        ended = subprocess.run(
            [sys.executable, "-m", "airflow", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=self.environment | dict(settings or {}),
            timeout=COMMAND_SECONDS,
            check=False,
        )
        text = ended.stdout.decode(errors="replace")
        if ended.returncode:
            command = " ".join(arguments)
            raise AssertionError(f"airflow {command} ended with {ended.returncode}\n{text[-TAIL:]}")
        return text

    def run_dag(self, dag: str, at: str, settings: Mapping[str, str], **conf: Any) -> str:
        """Run a DAG with ``airflow dags test``; it must succeed. Return the output."""
        given = ["--conf", json.dumps(conf)] if conf else []
        return self.run("dags", "test", dag, at, *given, settings=settings)

    def json(self, *arguments: str, settings: Mapping[str, str] | None = None) -> Any:
        """Run one command with ``--output json``, and read the JSON among the warnings."""
        text = self.run(*arguments, "--output", "json", settings=settings)
        begins = re.search(r"^\[\s*\{", text, re.MULTILINE)
        assert begins, text[-TAIL:]
        return json.JSONDecoder().raw_decode(text, begins.start())[0]


class Program:
    """A Python module that runs in the background without a terminal; a context manager.

    :param folder: an empty folder, for the output, and for the program's HOME and TMPDIR.
    :param module: the module, and its arguments.
    """

    def __init__(self, folder: Path, *module: str) -> None:
        self.home, self.temporary = folder / "home", folder / "tmp"
        self.home.mkdir()
        self.temporary.mkdir()
        self._output = folder / "output"
        self._environment = clean_environment(
            HOME=str(self.home),
            TMPDIR=str(self.temporary),
            PYTHONPATH=str(REPOSITORY),
            PYTHONUNBUFFERED="1",
        )
        with self._output.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", *module],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=self._environment,
                cwd=self.home,
                start_new_session=True,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            try:
                self.stop()
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()

    def stop(self) -> int:
        """Press Ctrl-C; return the exit code."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(PROGRAM_STOP_SECONDS)

    def text(self) -> str:
        """Return what it printed."""
        return self._output.read_text(encoding="utf-8")

    def says(self, pattern: str, seconds: float) -> str:
        """Wait for output that matches; return what the pattern's group matched."""

        def found() -> str | None:
            match = re.search(pattern, self.text())
            assert match or self.process.poll() is None, self.text()
            return match[1] if match else None

        return eventually(found, seconds, pattern, self.text)

    def processes(self) -> list[int]:
        """Return the ids of all processes that it started and that still run."""
        return processes_with("TMPDIR", str(self.temporary))
