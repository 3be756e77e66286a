"""Airflow as a user runs it: its command line, and all its processes, in a home of their own.

Knows nothing of pytest: ``make ui`` runs it too.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self, TypeVar

import httpx
import psutil

from tests.support.ports import held_port
from tests.support.signals import signals_held_back

REPOSITORY = Path(__file__).parents[2]
SHIPPED_DAGS = REPOSITORY / "dags"
DAG = "talkpilot_calls_to_bigquery"

COMMAND_SECONDS = 300  # a busy machine takes ten times as long as a quiet one
START_SECONDS = 300
# On a busy machine the first responses take long.
REQUEST_SECONDS = 120
STOP_SECONDS = 15
PROGRAM_STOP_SECONDS = 180  # a busy machine takes long to end so many processes
GRACE_SECONDS = 4
TAIL = 6000
# What must happen within one day takes less.
NEAR_MIDNIGHT = timedelta(minutes=10)

# What the caller's shell says about Airflow and Google is for the caller's own work.
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
    """Look again and again until something is found; fail with ``what`` and the log's tail."""
    deadline = time.monotonic() + seconds
    while True:
        found = look()
        if found is not None:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds:.0f} s: {what}\n{tail()}")
        time.sleep(every)


def avoid_midnight() -> None:
    """Wait until midnight (UTC) is over where it is near: the scheduler would run one more day."""
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
        """Run one command to its end; it must succeed.

        :param settings: environment variables for it.
        :return: what it printed.
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

    def json(self, *arguments: str, settings: Mapping[str, str] | None = None) -> Any:
        """Run one command with ``--output json``; the other lines are warnings."""
        text = self.run(*arguments, "--output", "json", settings=settings)
        begins = re.search(r"^\[\s*\{", text, re.MULTILINE)
        assert begins, text[-TAIL:]
        return json.JSONDecoder().raw_decode(text, begins.start())[0]


class Rest(ABC):
    """Airflow's REST API, as an administrator.

    :param url: of its API server.
    :param home: the API server's AIRFLOW_HOME, where it leaves the administrator's password.
    """

    def __init__(self, url: str, home: Path) -> None:
        self.url = url
        self.passwords: dict[str, str] = {}
        self._home = home
        self._http = httpx.Client(base_url=url, timeout=REQUEST_SECONDS, trust_env=False)

    @abstractmethod
    def tail(self) -> str:
        """The end of what Airflow printed."""

    def get(self, path: str) -> Any:
        """GET below ``/api/v2``."""
        return self._json(self._http.get(f"/api/v2/{path}"))

    def connect(self, name: str, **fields: Any) -> None:
        """Make a connection, with fields as JSON connections have them; ``extra`` is a text."""
        body = {"connection_id": name, **fields}
        self._json(self._http.post("/api/v2/connections", json=body))

    def unpause(self, dag: str) -> None:
        """Wait until the DAG is known, and unpause it."""

        def known() -> bool | None:
            return True if self._http.get(f"/api/v2/dags/{dag}").is_success else None

        eventually(known, START_SECONDS, f"the DAG {dag} is there", self.tail)
        self._json(self._http.patch(f"/api/v2/dags/{dag}", json={"is_paused": False}))

    def trigger(self, dag: str, **body: Any) -> str:
        """Trigger a run; gives its id."""
        response = self._http.post(
            f"/api/v2/dags/{dag}/dagRuns", json={"logical_date": None} | body
        )
        return str(self._json(response)["dag_run_id"])

    def runs(self, dag: str) -> list[dict[str, Any]]:
        """All runs of a DAG."""
        return list(self.get(f"dags/{dag}/dagRuns?limit=100")["dag_runs"])

    def end_of(self, dag: str, run: str, seconds: float) -> str:
        """Wait until a run has ended; gives its state."""

        def state() -> str | None:
            found = str(self.get(f"dags/{dag}/dagRuns/{run}")["state"])
            return found if found in ("success", "failed") else None

        return eventually(state, seconds, f"{run} ends", lambda: self.logs(dag, run))

    def states(self, dag: str, run: str) -> dict[str, str]:
        """The state of each task of a run."""
        tasks = self.get(f"dags/{dag}/dagRuns/{run}/taskInstances")["task_instances"]
        return {task["task_id"]: str(task["state"]) for task in tasks}

    def log(self, dag: str, run: str, task: str, attempt: int = 1) -> str:
        """A task's log, as the user interface shows it."""
        path = f"/api/v2/dags/{dag}/dagRuns/{run}/taskInstances/{task}/logs/{attempt}"
        response = self._http.get(path, headers={"Accept": "application/json"})
        lines = self._json(response)["content"]
        return "\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines)

    def logs(self, dag: str, run: str) -> str:
        """The logs of all tasks of a run and of Airflow itself, for a failing test."""
        texts = []
        for task, state in self.states(dag, run).items():
            with suppress(Exception):
                texts.append(f"--- {task}: {state}\n{self.log(dag, run, task)[-2500:]}")
        texts.append(f"--- Airflow itself\n{self.tail()}")
        return "\n".join(texts)

    def _is_healthy(self) -> bool | None:
        with suppress(httpx.TransportError):
            response = self._http.get("/api/v2/monitor/health")
            if response.is_success and all(
                response.json()[part]["status"] == "healthy"
                for part in ("metadatabase", "scheduler", "triggerer", "dag_processor")
            ):
                return True
        return None

    def _log_in(self) -> None:
        passwords = self._home / "simple_auth_manager_passwords.json.generated"
        self.passwords = json.loads(passwords.read_text())
        name, password = next(iter(self.passwords.items()))
        response = self._http.post("/auth/token", json={"username": name, "password": password})
        self._http.headers["Authorization"] = f"Bearer {self._json(response)['access_token']}"

    def _json(self, response: httpx.Response) -> Any:
        said = f"{response.status_code} {response.text[:2000]}"
        assert response.is_success, f"{response.request.url}: {said}"
        return response.json()


class Standalone(Rest):
    """``airflow standalone`` and its REST API; a context manager.

    :param airflow: the command line to start it with.
    :param settings: environment variables for all its processes.
    """

    def __init__(self, airflow: Airflow, settings: Mapping[str, str]) -> None:
        self.airflow = airflow
        self.output = airflow.home / "standalone.out"
        self._held = ExitStack()  # Airflow needs half a minute until it listens
        port, *log_ports = [self._held.enter_context(held_port()) for _ in range(3)]
        super().__init__(f"http://127.0.0.1:{port}", airflow.home)
        self._environment = {
            **airflow.environment,
            "AIRFLOW__API__BASE_URL": self.url,
            "AIRFLOW__API__HOST": "127.0.0.1",
            "AIRFLOW__API__PORT": str(port),
            "AIRFLOW__API__WORKERS": "1",
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{self.url}/execution/",
            "AIRFLOW__CORE__PARALLELISM": "4",
            "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(log_ports[0]),
            "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(log_ports[1]),
            "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.25",
            **settings,
        }
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Standalone:
        with self.output.open("wb") as output, ExitStack() as stack:
            with signals_held_back():
                self._process = subprocess.Popen(
                    [sys.executable, "-m", "airflow", "standalone"],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    env=self._environment,
                    start_new_session=True,
                )
                stack.callback(self.__exit__)
            eventually(self._has_started, START_SECONDS, "Airflow responds", self.tail)
            self._log_in()
            stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()
        self._held.close()
        assert self._process is not None
        with suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(GRACE_SECONDS)
        # Some of its processes have sessions of their own; others wrote their title over where the
        # system shows their environment.
        for number in (signal.SIGTERM, signal.SIGKILL):
            deadline = time.monotonic() + STOP_SECONDS
            while left := processes_with("AIRFLOW_HOME", str(self.airflow.home)):
                for one in left:
                    with suppress(ProcessLookupError):
                        os.kill(one, number)
                self._process.poll()
                if time.monotonic() > deadline:
                    break
                time.sleep(0.2)
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)
        self._process.wait(STOP_SECONDS)

    def tail(self) -> str:
        """The end of what all its processes printed."""
        return self.output.read_text(errors="replace")[-TAIL:]

    def _has_started(self) -> bool | None:
        assert self._process is not None
        if self._process.poll() is not None:
            raise AssertionError(f"airflow standalone ended\n{self.tail()}")
        return self._is_healthy()


class Program:
    """A program that runs in the background without a terminal; a context manager.

    :param folder: an empty one; gets the output, and two folders that are its HOME and its TMPDIR.
    :param module: of Python, with its arguments.
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
        """Press Ctrl-C; gives the exit code."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(PROGRAM_STOP_SECONDS)

    def text(self) -> str:
        """What it printed."""
        return self._output.read_text(encoding="utf-8")

    def says(self, pattern: str, seconds: float) -> str:
        """Wait for a line; gives what the pattern's group matched."""

        def found() -> str | None:
            match = re.search(pattern, self.text())
            assert match or self.process.poll() is None, self.text()
            return match[1] if match else None

        return eventually(found, seconds, pattern, self.text)

    def processes(self) -> list[int]:
        """Ids of all processes that it started and that still run."""
        return processes_with("TMPDIR", str(self.temporary))
