"""Workers die, servers go away: the runs end green by themselves, and the table is the truth."""

from __future__ import annotations

import logging

from airflow_provider_talkpilot.staging.enrich.details import BATCH_ROWS
from tests.cluster.cluster import WORKERS, Task
from tests.cluster.scene import (
    AGENTS,
    CALLS,
    CONNECTIONS,
    DEFERRING,
    ORGANISATIONS,
    SCARCE_HOUR,
    Scene,
    wait,
)
from tests.support.tables import assert_equal_rows, expected_rows, spared_of
from tests.system.running import eventually

log = logging.getLogger(__name__)

STEP_SECONDS = 400
API_SECONDS, STORAGE_SECONDS = 30, 10
LISTS, DETAILS = AGENTS // len(CONNECTIONS), CALLS // len(CONNECTIONS)


def test_all_ends_well(scene: Scene) -> None:
    cluster, sandbox = scene.cluster, scene.sandbox

    def half_listed(task: Task) -> bool:
        return 1 < scene.spent(task, "calls") < LISTS - 1

    def half_detailed(task: Task) -> bool:
        return BATCH_ROWS < scene.spent(task, "detail") < DETAILS - BATCH_ROWS

    def deferred() -> bool | None:
        [enrich] = scene.tasks(DEFERRING, "enrich_calls")
        return True if enrich.state == "deferred" else None

    # Nothing here is over in an instant.
    sandbox.settings.latency_seconds = 1.0
    scene.trigger(DEFERRING)
    scene.trigger(ORGANISATIONS)
    killed = [scene.kill_worker("extract_calls", half_listed, STEP_SECONDS)]

    # Details begin for all keys at once; their middle lasts longer than what happens meanwhile.
    sandbox.settings.latency_seconds = 4.0
    eventually(deferred, STEP_SECONDS, "a task is deferred", scene.logs)
    cluster["triggerer"].restart()
    log.info("the triggerer was killed")
    # Enough for what a kill has cost, too: its hour never ends.
    scene.scarce.settings.requests_per_hour = 10 * SCARCE_HOUR
    scene.scarce.reset_quota()

    killed += [scene.kill_worker("enrich_calls", half_detailed, STEP_SECONDS)]
    sandbox.settings.latency_seconds = 1.0
    cluster["scheduler"].restart()
    log.info("the scheduler was killed")
    scene.details_come(20, STEP_SECONDS)
    with scene.no_api():
        wait(API_SECONDS, "the API is away")
    scene.details_come(40, STEP_SECONDS)
    with scene.no_storage():
        wait(STORAGE_SECONDS, "object storage is away")

    killed += [scene.kill_worker("load_details", scene.has_staging_table, STEP_SECONDS)]
    scene.gate.open()
    for dag, run in scene.runs.items():
        assert cluster.end_of(dag, run, STEP_SECONDS) == "success", scene.logs()
    log.info("both runs ended green")

    truth = scene.truth(sandbox)
    assert_equal_rows(scene.rows("cluster"), expected_rows(truth, spared=spared_of(truth)))
    # No performance records are read there.
    assert_equal_rows(scene.rows("deferring"), expected_rows(scene.truth(scene.scarce)))
    attempts = {(t.task_id, t.map_index): t.attempt for t in scene.tasks(ORGANISATIONS)}
    for task in killed:
        assert attempts[task.task_id, task.map_index] > task.attempt
    for connection in CONNECTIONS:
        repeated, kills = scene.repeated(connection), scene.enrich_kills(connection)
        log.info("%s: %d detail(s) fetched again, %d kill(s)", connection, repeated, kills)
        assert repeated <= BATCH_ROWS * kills
    assert scene.staged() == []
    assert [p for name in WORKERS for p in cluster[name].temporary.rglob("*talkpilot*")] == []
