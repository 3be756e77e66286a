"""The cluster and the servers that its tasks use, and how the test kills or stops each of them."""

from __future__ import annotations

import json
import logging
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from google.api_core.exceptions import NotFound

from airflow_provider_talkpilot.sandbox import BigQueryEmulator, Sandbox, StorageEmulator
from airflow_provider_talkpilot.sandbox.api.counters import key_prefix
from airflow_provider_talkpilot.sandbox.emulators.processes import bind
from airflow_provider_talkpilot.sandbox.settings import fake_api_key
from tests.cluster.cluster import Cluster, Task
from tests.support.bigquery_gateway import Gateway
from tests.support.tables import Row, table_rows, tables
from tests.system.conftest import DAY
from tests.system.rest import run_of
from tests.system.running import eventually

log = logging.getLogger(__name__)

ORGANISATIONS, SCARCE = "talkpilot_organisations", "talkpilot_scarce_quota"
CONNECTIONS = tuple(f"talkpilot_{name}" for name in ("north", "east", "south", "west"))
BUCKET = "talkpilot-cluster"
AGENTS, CALLS = 40, 1600


def add_organisations(sandbox: Sandbox) -> dict[str, str]:
    """Divide the agents among keys; return the settings that name the connections."""
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
    """A running cluster and its servers.

    :param gateway: between the workers and BigQuery; it holds back the merge of details.
    :param runs: run ids by DAG.
    :param died: every task, with its DAG, that was on a worker when the worker was killed.
    """

    cluster: Cluster
    sandbox: Sandbox
    scarce: Sandbox
    bigquery: BigQueryEmulator
    storage: StorageEmulator
    gateway: Gateway
    runs: dict[str, str] = field(default_factory=dict)
    died: list[tuple[str, Task]] = field(default_factory=list)

    def trigger(self, dag: str) -> None:
        """Run a DAG for the day."""
        self.cluster.unpause(dag)
        self.runs[dag] = self.cluster.trigger(dag, **run_of(DAY))

    def tasks(self, dag: str, task_id: str = "") -> list[Task]:
        """Return the task instances of a DAG's run."""
        return self.cluster.tasks(dag, self.runs[dag], task_id)

    def kill_worker(
        self, task_id: str, is_half_done: Callable[[Task], bool], seconds: float
    ) -> Task:
        """Kill a worker in the middle of a task, and start it again.

        The test freezes the worker first. So the task is still half done when the worker is killed.

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

    def stop_for(self, seconds: float, server: Sandbox | StorageEmulator) -> None:
        """Stop a server for a while; no other program can take its port."""
        log.info("%s is away for %g s", type(server).__name__, seconds)
        url = server.base_url if isinstance(server, Sandbox) else server.url
        server.stop()
        with bind(urlsplit(url).port or 0):
            time.sleep(seconds)
        server.start()

    def spent(self, task: Task, kind: str) -> int:
        """Return how many requests of a kind the key of a mapped task sent."""
        return self.sandbox.counters_of(fake_api_key(CONNECTIONS[task.map_index]))[kind]

    def repeated(self, connection: str) -> int:
        """Return how many details were fetched again with a connection's key."""
        prefix = key_prefix(fake_api_key(connection))
        fetched = Counter(
            request.path
            for request in self.sandbox.requests
            if (request.kind, request.status, request.key_prefix) == ("detail", 200, prefix)
        )
        return sum(fetched.values()) - len(fetched)

    def enrich_kills(self, connection: str) -> int:
        """Return how often a worker was killed that had the enrich task of a connection."""
        number = CONNECTIONS.index(connection)
        return sum(
            (dag, task.task_id, task.map_index) == (ORGANISATIONS, "enrich_calls", number)
            for dag, task in self.died
        )

    def has_staging_table(self, task: Task) -> bool:
        """Whether a load of details has created its staging table and not dropped it yet.

        One load runs at a time, so the table belongs to this task.
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
        """Read a target table; check that no staging table is left beside it."""
        with self.bigquery.client() as client:
            table = f"{self.bigquery.project}.{dataset}.calls"
            assert not [name for name in tables(client, table) if "_staging_" in name]
            return table_rows(client, table)

    def truth(self, sandbox: Sandbox) -> list[Row]:
        """Return what an API holds of the day."""
        return sandbox.store.truth(f"{DAY}T00:00:00Z", f"{DAY}T23:59:59.999999Z")

    def staged(self) -> list[Path]:
        """Return all files in the bucket but the ledger of the quota."""
        found = (self.bigquery.gcs_root / BUCKET).rglob("*")
        return [path for path in found if path.is_file() and "_quota" not in path.parts]

    def logs(self) -> str:
        """Return the logs of all tasks and machines, for a failing test."""
        return "\n".join(self.cluster.logs(dag, run) for dag, run in self.runs.items())
