"""After killed workers and stopped servers, runs end green by themselves; the table is right."""

from __future__ import annotations

import logging

from airflow_provider_talkpilot.staging.enrich.details import BATCH_ROWS
from tests.cluster.cluster import WORKERS, Task
from tests.cluster.scene import AGENTS, CALLS, CONNECTIONS, ORGANISATIONS, SCARCE, Scene
from tests.support.tables import assert_equal_rows, expected_rows, spared_of
from tests.system.conftest import SCARCE_HOUR
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
        [enrich] = scene.tasks(SCARCE, "enrich_calls")
        return True if enrich.state == "deferred" else None

    # Slow, so that tasks are half done for long enough.
    sandbox.settings.latency_seconds = 1.0
    scene.trigger(SCARCE)
    scene.trigger(ORGANISATIONS)
    killed = [scene.kill_worker("extract_calls", half_listed, STEP_SECONDS)]

    # All keys' details begin at once. They are half done for longer than the next steps take.
    sandbox.settings.latency_seconds = 4.0
    eventually(deferred, STEP_SECONDS, "a task is deferred", scene.logs)
    cluster["triggerer"].restart()
    log.info("the triggerer was killed")
    # Also enough for the requests that a kill wasted, because the hour never ends.
    scene.scarce.settings.requests_per_hour = 10 * SCARCE_HOUR
    scene.scarce.reset_quota()

    killed += [scene.kill_worker("enrich_calls", half_detailed, STEP_SECONDS)]
    sandbox.settings.latency_seconds = 1.0
    cluster["scheduler"].restart()
    log.info("the scheduler was killed")
    scene.details_come(20, STEP_SECONDS)
    scene.stop_for(API_SECONDS, sandbox)
    scene.details_come(40, STEP_SECONDS)
    scene.stop_for(STORAGE_SECONDS, scene.storage)

    killed += [scene.kill_worker("load_details", scene.has_staging_table, STEP_SECONDS)]
    scene.gateway.open()
    for dag, run in scene.runs.items():
        assert cluster.end_of(dag, run, STEP_SECONDS) == "success", scene.logs()
    log.info("both runs ended green")

    truth = scene.truth(sandbox)
    assert_equal_rows(scene.rows("cluster"), expected_rows(truth, spared=spared_of(truth)))
    # This DAG reads no performance records.
    assert_equal_rows(scene.rows("scarce"), expected_rows(scene.truth(scene.scarce)))
    attempts = {(t.task_id, t.map_index): t.attempt for t in scene.tasks(ORGANISATIONS)}
    for task in killed:
        assert attempts[task.task_id, task.map_index] > task.attempt
    for connection in CONNECTIONS:
        repeated, kills = scene.repeated(connection), scene.enrich_kills(connection)
        log.info("%s: %d detail(s) fetched again, %d kill(s)", connection, repeated, kills)
        assert repeated <= BATCH_ROWS * kills
    assert scene.staged() == []
    assert [p for name in WORKERS for p in cluster[name].temporary.rglob("*talkpilot*")] == []
