"""Airflow's REST API, and ``airflow standalone``, which runs all its processes.

Nothing here needs pytest, because ``make ui`` runs it too.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import httpx

from tests.support.ports import held_port
from tests.support.signals import signals_held_back
from tests.system.running import START_SECONDS, TAIL, Airflow, eventually, processes_with

# A busy machine takes ten times as long as a quiet one.
REQUEST_SECONDS = 120
STOP_SECONDS = 15
GRACE_SECONDS = 4


def run_of(day: date) -> dict[str, str]:
    """Fields that :meth:`Rest.trigger` needs for the run of a day."""
    start, end = (f"{each}T00:00:00Z" for each in (day, day + timedelta(days=1)))
    return {"logical_date": start, "data_interval_start": start, "data_interval_end": end}


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
        """Return the end of Airflow's output."""

    def get(self, path: str) -> Any:
        """GET below ``/api/v2``."""
        return self._json(self._http.get(f"/api/v2/{path}"))

    def connect(self, name: str, **fields: Any) -> None:
        """Create a connection, with fields as JSON connections have them; ``extra`` is a text."""
        body = {"connection_id": name, **fields}
        self._json(self._http.post("/api/v2/connections", json=body))

    def unpause(self, dag: str) -> None:
        """Wait until the DAG is known, and unpause it."""

        def is_known() -> bool | None:
            return self._http.get(f"/api/v2/dags/{dag}").is_success or None

        eventually(is_known, START_SECONDS, f"Airflow knows the DAG {dag}", self.tail)
        self._json(self._http.patch(f"/api/v2/dags/{dag}", json={"is_paused": False}))

    def trigger(self, dag: str, **body: Any) -> str:
        """Trigger a run; return its id. On a busy machine Airflow's SQLite can be locked (500)."""
        path, body = f"/api/v2/dags/{dag}/dagRuns", {"logical_date": None} | body

        def created() -> httpx.Response | None:
            response = self._http.post(path, json=body)
            return None if response.status_code == 500 else response

        response = eventually(created, START_SECONDS, f"a run of {dag} is created", self.tail)
        return str(self._json(response)["dag_run_id"])

    def runs(self, dag: str) -> list[dict[str, Any]]:
        """Return all runs of a DAG."""
        return list(self.get(f"dags/{dag}/dagRuns?limit=100")["dag_runs"])

    def end_of(self, dag: str, run: str, seconds: float) -> str:
        """Wait until a run has ended; return its state."""

        def state() -> str | None:
            found = str(self.get(f"dags/{dag}/dagRuns/{run}")["state"])
            return found if found in ("success", "failed") else None

        return eventually(state, seconds, f"{run} ends", lambda: self.logs(dag, run))

    def task_instances(self, dag: str, run: str) -> list[dict[str, Any]]:
        """Return the task instances of a run, at most a hundred; ``~`` is every run."""
        found = self.get(f"dags/{dag}/dagRuns/{run}/taskInstances?limit=100")
        return list(found["task_instances"])

    def states(self, dag: str, run: str) -> dict[str, str]:
        """Return the state of each task of a run."""
        return {task["task_id"]: str(task["state"]) for task in self.task_instances(dag, run)}

    def returned(self, dag: str, run: str, task: str, map_index: int = -1) -> Any:
        """Return the object that a task returned."""
        path = f"dags/{dag}/dagRuns/{run}/taskInstances/{task}/xcomEntries/return_value"
        value = self.get(f"{path}?map_index={map_index}")["value"]
        return json.loads(value) if isinstance(value, str) else value

    def log(self, dag: str, run: str, task: str, attempt: int = 1) -> str:
        """Return a task's log, as the user interface shows it."""
        path = f"/api/v2/dags/{dag}/dagRuns/{run}/taskInstances/{task}/logs/{attempt}"
        response = self._http.get(path, headers={"Accept": "application/json"})
        lines = self._json(response)["content"]
        return "\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines)

    def logs(self, dag: str, run: str) -> str:
        """Return the logs of all tasks of a run and of Airflow itself, for a failing test."""
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
        text = f"{response.request.url}: {response.status_code} {response.text[:2000]}"
        assert response.is_success, text
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
        # Some processes have sessions of their own. Others overwrote the environment that the
        # system shows, with their title.
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
        """Return the end of the output of all its processes."""
        return self.output.read_text(errors="replace")[-TAIL:]

    def _has_started(self) -> bool | None:
        assert self._process is not None
        if self._process.poll() is not None:
            raise AssertionError(f"airflow standalone ended\n{self.tail()}")
        return self._is_healthy()
