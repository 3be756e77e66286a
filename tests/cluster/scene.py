"""The cluster beside the services that its tasks talk to, and how each of them goes."""

from __future__ import annotations

import json
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from google.api_core.exceptions import NotFound

from airflow_provider_talkpilot.sandbox import BigQueryEmulator, Sandbox, StorageEmulator
from airflow_provider_talkpilot.sandbox.api.counters import key_prefix
from airflow_provider_talkpilot.sandbox.emulators.processes import bind
from airflow_provider_talkpilot.sandbox.settings import fake_api_key
from tests.cluster.cluster import Cluster, Task
from tests.cluster.gate import Gate
from tests.support.tables import Row, table_rows, tables
from tests.system.running import eventually

log = logging.getLogger(__name__)

DAY = date(2026, 3, 16)
ORGANISATIONS, DEFERRING = "talkpilot_organisations", "talkpilot_deferring"
CONNECTIONS = tuple(f"talkpilot_{name}" for name in ("north", "east", "south", "west"))
BUCKET = "talkpilot-cluster"
AGENTS, CALLS = 40, 1600
# Of the scarce key: the details of 30 calls do not fit in beside the lists.
SCARCE_HOUR, SCARCE_CALLS, RETRY_AFTER = 24, 30, 10


def add_organisations(sandbox: Sandbox) -> dict[str, str]:
    """Share the agents out among keys; gives the settings that name the connections."""
    share = AGENTS // len(CONNECTIONS)
    settings = {"AIRFLOW_VAR_TALKPILOT_ORGANISATIONS": json.dumps(CONNECTIONS)}
    for number, name in enumerate(CONNECTIONS):
        agents = sandbox.store.agent_ids[number * share :][:share]
        key = sandbox.add_key(name, allowed_agent_ids=agents)
        settings[f"AIRFLOW_CONN_{name.upper()}"] = json.dumps(
            {**sandbox.connection, "password": key}
        )
    return settings


@dataclass(repr=False)
class Scene:
    """A running cluster and its services.

    :param gate: the way to BigQuery; holds the merge of details back.
    :param runs: run ids by DAG.
    :param died: by DAG, every task that was on a worker when it was killed.
    """

    cluster: Cluster
    sandbox: Sandbox
    scarce: Sandbox
    bigquery: BigQueryEmulator
    storage: StorageEmulator
    gate: Gate
    runs: dict[str, str] = field(default_factory=dict)
    died: list[tuple[str, Task]] = field(default_factory=list)

    def trigger(self, dag: str) -> None:
        """Run a DAG for the day."""
        start, end = f"{DAY}T00:00:00Z", f"{date(DAY.year, DAY.month, DAY.day + 1)}T00:00:00Z"
        self.cluster.unpause(dag)
        self.runs[dag] = self.cluster.trigger(
            dag, logical_date=start, data_interval_start=start, data_interval_end=end
        )

    def tasks(self, dag: str, task_id: str = "") -> list[Task]:
        """The task instances of a DAG's run."""
        return self.cluster.tasks(dag, self.runs[dag], task_id)

    def kill_worker(
        self, task_id: str, is_half_done: Callable[[Task], bool], seconds: float
    ) -> Task:
        """Kill a worker that has such a task half done, and start it again.

        It is stopped first, and killed if the task is still half done then: no luck is needed.

        :return: the task, as it was.
        """

        def caught() -> Task | None:
            for task in self.tasks(ORGANISATIONS, task_id):
                if task.state != "running" or not is_half_done(task):
                    continue
                self.cluster[task.host].freeze()
                if task in self.tasks(ORGANISATIONS, task_id) and is_half_done(task):
                    return task
                self.cluster[task.host].thaw()
            return None

        caught_task = eventually(caught, seconds, f"{task_id} half done", self.logs)
        died = [
            (dag, task)
            for dag in self.runs
            for task in self.tasks(dag)
            if task.state == "running" and task.host == caught_task.host
        ]
        self.cluster[caught_task.host].restart()
        self.died += died
        names = ", ".join(f"{task.task_id} {task.map_index}" for _, task in died)
        log.info("%s was killed, with %s", caught_task.host, names)
        return caught_task

    def details_come(self, more: int, seconds: float) -> None:
        """Wait until so many more details were fetched."""
        enough = self.sandbox.counters["detail"] + more
        eventually(
            lambda: True if self.sandbox.counters["detail"] >= enough else None,
            seconds,
            f"{more} more details",
            self.logs,
        )

    @contextmanager
    def no_api(self) -> Iterator[None]:
        """No server listens at the API's address."""
        port = self.sandbox.port
        self.sandbox.stop()
        with bind(port):  # no other program takes it
            yield
        self.sandbox.start()

    @contextmanager
    def no_storage(self) -> Iterator[None]:
        """No server listens at the object storage's address."""
        port = int(self.storage.url.rpartition(":")[2])
        self.storage.stop()
        with bind(port):
            yield
        self.storage.start()

    def spent(self, task: Task, kind: str) -> int:
        """Requests of a kind with the key of a mapped task."""
        return self.sandbox.counters_of(fake_api_key(CONNECTIONS[task.map_index]))[kind]

    def repeated(self, connection: str) -> int:
        """Details that were fetched with a connection's key more than once."""
        prefix = key_prefix(fake_api_key(connection))
        fetched = Counter(
            request.path
            for request in self.sandbox.requests
            if (request.kind, request.status, request.key_prefix) == ("detail", 200, prefix)
        )
        return sum(fetched.values()) - len(fetched)

    def enrich_kills(self, connection: str) -> int:
        """How often the enrich task of a connection was on a worker that was killed."""
        number = CONNECTIONS.index(connection)
        return sum(
            (dag, task.task_id, task.map_index) == (ORGANISATIONS, "enrich_calls", number)
            for dag, task in self.died
        )

    def has_staging_table(self, task: Task) -> bool:
        """Whether a load of details has made its staging table and not dropped it yet.

        One load runs at a time, so it is the task's.
        """
        table = task.arguments.get("table")
        if not table:
            return False
        dataset = table.rpartition(".")[0]
        with self.bigquery.client() as client, suppress(NotFound):
            staging = [name for name in tables(client, table) if "_staging_" in name]
            schemas = [client.get_table(f"{dataset}.{name}").schema for name in staging]
            return any(field.name == "detail_found" for schema in schemas for field in schema)
        return False

    def rows(self, dataset: str) -> list[Row]:
        """A target table as it is, alone in its dataset."""
        with self.bigquery.client() as client:
            table = f"{self.bigquery.project}.{dataset}.calls"
            assert not [name for name in tables(client, table) if "_staging_" in name]
            return table_rows(client, table)

    def truth(self, sandbox: Sandbox) -> list[Row]:
        """What an API holds of the day."""
        return sandbox.truth(f"{DAY}T00:00:00Z", f"{DAY}T23:59:59.999999Z")

    def staged(self) -> list[Path]:
        """All that is in the bucket, but for the ledger of the quota."""
        found = (self.bigquery.gcs_root / BUCKET).rglob("*")
        return [path for path in found if path.is_file() and "_quota" not in path.parts]

    def logs(self) -> str:
        """Of all tasks and machines, for a failing test."""
        return "\n".join(self.cluster.logs(dag, run) for dag, run in self.runs.items())


def wait(seconds: float, what: str) -> None:
    """Let time pass: it is part of the story."""
    log.info("%s for %g s", what, seconds)
    time.sleep(seconds)
