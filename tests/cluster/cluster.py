"""Airflow on several machines: each of its processes has a file system of its own.

They share PostgreSQL, Redis, Airflow's API and object storage over the network.
"""

from __future__ import annotations

import os
import secrets
import shutil
import sys
import tempfile
from base64 import urlsafe_b64encode
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import psutil

from airflow_provider_talkpilot.sandbox.emulators.processes import HOST, GuardedProcess
from tests.support.ports import held_port
from tests.system.rest import Rest
from tests.system.running import START_SECONDS, Airflow, eventually

WORKERS = ("worker-1", "worker-2")
SERVICE_SECONDS = 60
TAIL = 3000

RECOVERY = {
    # Airflow finds dead tasks in half a minute, not in five.
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "30",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "5",
    "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "30",
    "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT": "60",
    "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT_CHECK_INTERVAL": "15",
    # For DAGs that set no retries.
    "AIRFLOW__CORE__DEFAULT_TASK_RETRIES": "5",
    "AIRFLOW__CORE__DEFAULT_TASK_RETRY_DELAY": "10",
}
"""The settings in docs/deployment.md; all others are Airflow's defaults."""

_POSTGRES_USER = "postgres"
_FAST = ("fsync=off", "synchronous_commit=off", "full_page_writes=off")


@dataclass(frozen=True)
class Task:
    """A task instance, as Airflow's REST API describes it.

    :param attempt: the number of its try, from 1.
    :param host: the machine of the try.
    :param arguments: its rendered fields.
    """

    task_id: str
    map_index: int
    state: str | None
    attempt: int
    host: str
    arguments: Mapping[str, Any]


class Machine:
    """A machine that runs one of Airflow's processes: home, DAGs and temporary folder of its own.

    :param name: its host name, and its folder's.
    :param folder: the parent of its folder.
    :param dags: DAG files, which it copies.
    :param command: arguments of ``airflow``.
    :param settings: environment variables.
    """

    def __init__(
        self,
        name: str,
        folder: Path,
        dags: Sequence[Path],
        command: Sequence[str],
        settings: Mapping[str, str],
    ) -> None:
        self.name, self._command = name, list(command)
        self.temporary, own_dags = folder / name / "tmp", folder / name / "dags"
        for made in (self.temporary, own_dags):
            made.mkdir(parents=True)
        for dag in dags:
            shutil.copy(dag, own_dags)
        self.airflow = Airflow(folder / name / "home", own_dags)
        # Airflow gets the host's name from a function. The system's is the same for all machines.
        module = self.airflow.home / "this_machine.py"
        module.write_text(f"def name() -> str:\n    return {name!r}\n")
        self._environment = {
            **self.airflow.environment,
            **settings,
            "AIRFLOW__CORE__HOSTNAME_CALLABLE": "this_machine.name",
            "PYTHONPATH": str(self.airflow.home),
            "TMPDIR": str(self.temporary),
        }
        self._process: GuardedProcess | None = None
        self._log_before = ""

    def start(self) -> None:
        """Start it, without waiting until it is ready."""
        command = [sys.executable, "-m", "airflow", *self._command]
        self._process = GuardedProcess(command, self._environment)

    def freeze(self) -> None:
        """Suspend all its processes, parents first, so that no process notices another's stop."""
        frozen = set[psutil.Process]()
        while new := [process for process in self._processes() if process not in frozen]:
            for process in new:
                with suppress(psutil.NoSuchProcess):
                    process.suspend()
            frozen.update(new)

    def thaw(self) -> None:
        """Resume all its processes."""
        for process in reversed(self._processes()):
            with suppress(psutil.NoSuchProcess):
                process.resume()

    def kill(self) -> None:
        """Send SIGKILL to all its processes, as if the machine lost power; may be called twice."""
        if self._process is None:
            return
        self.freeze()
        for process in self._processes():
            with suppress(psutil.NoSuchProcess):
                process.kill()
        self._log_before = self.log()
        self._process.stop()
        self._process = None

    def restart(self) -> None:
        """Kill it, and start it again with the same disk."""
        self.kill()
        self.start()

    def log(self) -> str:
        """Return its output, before restarts too."""
        return self._log_before + (self._process.log() if self._process else "")

    def require_running(self) -> None:
        """Fail if it ended by itself."""
        runs = self._process is not None and self._process.is_running
        assert runs, f"{self.name} ended\n{self.log()[-TAIL:]}"

    def _processes(self) -> list[psutil.Process]:
        with suppress(psutil.NoSuchProcess):
            if self._process:
                return list(psutil.Process(self._process.pid).children(recursive=True))
        return []


class Cluster(Rest):
    """Airflow with Celery: a machine for each of its parts, two for workers; a context manager.

    :param folder: the parent of the machines' folders.
    :param dags: DAG files.
    :param settings: environment variables for all machines.
    """

    def __init__(self, folder: Path, dags: Sequence[Path], settings: Mapping[str, str]) -> None:
        self._folder, self._dags, self._given = folder, dags, settings
        self._machines: dict[str, Machine] = {}
        self._stack = ExitStack()
        self._port = self._stack.enter_context(held_port())
        super().__init__(f"http://{HOST}:{self._port}", folder / "api-server" / "home")

    def __enter__(self) -> Self:
        with self._stack:
            self._stack.callback(self._http.close)
            database = self._stack.enter_context(postgres())
            broker = self._stack.enter_context(redis())
            settings = {**self._settings(database, broker), **self._given}
            self._add("api-server", ["api-server"], settings)
            for name in ("scheduler", "dag-processor"):
                self._add(name, [name], settings)
            # Their logs are not served: any program could then read them.
            self._add("triggerer", ["triggerer", "--skip-serve-logs"], settings)
            for name in WORKERS:
                command = ["celery", "worker", "--skip-serve-logs", "--celery-hostname", name]
                self._add(name, command, settings)
            self["api-server"].airflow.run("db", "migrate", settings=settings)
            for machine in self._machines.values():
                machine.start()
            eventually(self._has_started, START_SECONDS, "Airflow is healthy", self.tail)
            self._log_in()
            self._stack = self._stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def __getitem__(self, name: str) -> Machine:
        """Return the machine of this name."""
        return self._machines[name]

    def tail(self) -> str:
        """Return the end of each machine's output."""
        outputs = {name: machine.log()[-TAIL:] for name, machine in self._machines.items()}
        return "\n".join(f"--- {name}\n{text}" for name, text in outputs.items())

    def tasks(self, dag: str, run: str, task_id: str = "") -> list[Task]:
        """Return the task instances of a run, or those of one of its tasks."""
        return [
            Task(
                found["task_id"],
                found["map_index"],
                found["state"],
                found["try_number"],
                found["hostname"] or "",
                found["rendered_fields"] or {},
            )
            for found in self.task_instances(dag, run)
            if task_id in ("", found["task_id"])
        ]

    def logs(self, dag: str, run: str) -> str:
        """Return the end of each log of a run's tasks, from the workers' disks."""
        texts = [self.tail()]
        for worker in WORKERS:
            logs = self[worker].airflow.home / "logs"
            for path in sorted(logs.rglob(f"dag_id={dag}/run_id={run}/**/*.log")):
                text = path.read_text(errors="replace")
                texts.append(f"--- {worker} {path.relative_to(logs)}\n{text[-TAIL:]}")
        return "\n".join(texts)

    def _add(self, name: str, command: list[str], settings: Mapping[str, str]) -> None:
        machine = Machine(name, self._folder, self._dags, command, settings)
        self._machines[name] = machine
        self._stack.callback(machine.kill)

    def _has_started(self) -> bool | None:
        for machine in self._machines.values():
            machine.require_running()
        ready = all(f"{name} ready." in self[name].log() for name in WORKERS)
        return self._is_healthy() if ready else None

    def _settings(self, database: str, broker: str) -> dict[str, str]:
        return {
            **RECOVERY,
            "AIRFLOW__API__BASE_URL": self.url,
            "AIRFLOW__API__HOST": HOST,
            "AIRFLOW__API__PORT": str(self._port),
            "AIRFLOW__API__WORKERS": "1",
            # One machine must read what another encrypts or signs.
            "AIRFLOW__API__SECRET_KEY": secrets.token_hex(16),
            "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_hex(32),
            "AIRFLOW__CORE__FERNET_KEY": urlsafe_b64encode(secrets.token_bytes(32)).decode(),
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{self.url}/execution/",
            "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor",
            "AIRFLOW__CELERY__BROKER_URL": broker,
            "AIRFLOW__CELERY__RESULT_BACKEND": f"db+{database}",
            "AIRFLOW__CELERY__WORKER_CONCURRENCY": "4",
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": database,
            "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.25",
            # The scheduler creates no runs.
            "AIRFLOW__SCHEDULER__USE_JOB_SCHEDULE": "False",
        }


@contextmanager
def postgres() -> Iterator[str]:
    """Run a PostgreSQL; yields the address of its database for SQLAlchemy."""
    # It refuses to run as root, and only their owner can open the folders of pytest.
    user = _POSTGRES_USER
    as_user = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups"]
    prefix = [] if os.getuid() else as_user
    with held_port() as port, tempfile.TemporaryDirectory(prefix="talkpilot-postgres-") as made:
        folder = Path(made)
        if prefix:
            shutil.chown(folder, user, user)
        data = folder / "data"
        options = ["--auth=trust", "--username=airflow", "--encoding=UTF8", "--no-sync"]
        initdb = GuardedProcess([*prefix, _find_program("initdb"), *options, str(data)])
        eventually(lambda: None if initdb.is_running else True, SERVICE_SECONDS, "initdb ends")
        output = initdb.log()
        initdb.stop()
        assert (data / "PG_VERSION").exists(), output[-TAIL:]
        command = [*prefix, _find_program("postgres"), "-D", str(data), "-k", str(folder)]
        command += ["-h", HOST, "-p", str(port), *(o for each in _FAST for o in ("-c", each))]
        server = GuardedProcess(command)
        try:
            server.wait_for(lambda: _found(server, "ready to accept connections"), SERVICE_SECONDS)
            yield f"postgresql+psycopg2://airflow@{HOST}:{port}/postgres"
        finally:
            server.stop()


@contextmanager
def redis() -> Iterator[str]:
    """Run a Redis that stores nothing on disk; yields its address."""
    with held_port() as port:
        options = ["--bind", HOST, "--port", str(port), "--save", "", "--appendonly", "no"]
        server = GuardedProcess([_find_program("redis-server"), *options])
        try:
            server.wait_for(lambda: _found(server, "Ready to accept connections"), SERVICE_SECONDS)
            yield f"redis://{HOST}:{port}/0"
        finally:
            server.stop()


def _found(process: GuardedProcess, text: str) -> bool | None:
    return True if text in process.log() else None


def _find_program(name: str) -> str:
    """Find a program on the PATH, or in Debian's folder for PostgreSQL."""
    debian = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    found = shutil.which(name) or (str(debian[-1]) if debian else None)
    assert found, f"{name} is not installed here"
    return found
