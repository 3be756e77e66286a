"""Jobs that take long, fail or are cancelled; a deferred task frees its worker."""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib import import_module
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowException, TaskDeferred

from airflow_provider_talkpilot.bigquery import jobs
from airflow_provider_talkpilot.exceptions import TalkPilotTaskError
from airflow_provider_talkpilot.operators.bigquery import TalkPilotLoadCallsOperator
from airflow_provider_talkpilot.operators.resync import TalkPilotChooseDaysOperator
from tests.integration.chain import Chain, refused
from tests.support.bigquery_gateway import Gateway
from tests.support.tables import tables
from tests.support.tasks import run_task
from tests.support.waiting import wait_until

LOAD, MERGE = "talkpilot-load-", "talkpilot-merge-"


def attempts(gateway: Gateway, job: str) -> list[str]:
    """Return the suffixes of the jobs that were submitted."""
    return [each.rpartition("-")[2] for each in gateway.submitted if each.startswith(job)]


def defer(chain: Chain, manifest: str, **options: Any) -> Any:
    """Load until the task defers; return the trigger as the triggerer makes it."""
    with pytest.raises(TaskDeferred) as caught:
        chain.load(manifest, deferrable=True, **options)
    assert caught.value.method_name == "execute_complete"
    path, arguments = caught.value.trigger.serialize()
    module, _, name = path.rpartition(".")
    return getattr(import_module(module), name)(**arguments)


def event_of(trigger: Any) -> dict[str, Any]:
    async def first() -> Any:
        return await anext(trigger.run())

    payload = asyncio.run(first()).payload
    assert isinstance(payload, dict)
    return payload


def resume(chain: Chain, manifest: str, event: dict[str, Any], **options: Any) -> dict[str, Any]:
    options |= {"method": "execute_complete", "event": event, "deferrable": True}
    returned = chain.load(manifest, **options).returned
    assert isinstance(returned, dict)
    return returned


def undo(chain: Chain) -> None:
    """Undo a merge: the emulator did at once what the gateway shows as still running."""
    chain.bigquery.query(f"DELETE FROM `{chain.table}` WHERE TRUE").result()


def test_a_load_whose_jobs_take_long(chain: Chain, gateway: Gateway, bucket: str) -> None:
    """It defers twice, runs each job once, and returns the same as a load that waits."""
    chain.staging_uri = bucket
    gateway.running = "talkpilot-"
    manifest = str(chain.extract().returned)
    loading = defer(chain, manifest, impersonation_chain=None, location="US")
    assert (loading.project_id, loading.location) == ("demo", "US")
    assert loading.cancel_on_kill
    gateway.running = MERGE
    event = event_of(loading)
    with pytest.raises(TaskDeferred) as merging:
        resume(chain, manifest, event)
    gateway.running = "-"
    result = resume(chain, manifest, event_of(merging.value.trigger))
    assert (attempts(gateway, LOAD), attempts(gateway, MERGE)) == (["0"], ["0"])
    assert (result["rows"], result["changed"], result["live"]) == (46, 46, 46)
    assert result["purged"] == sum(bool(c["is_purged"]) for c in chain.truth())
    chain.assert_table_is_truth(details=False)
    assert tables(chain.bigquery, chain.table) == ["calls"]


def test_a_load_whose_jobs_are_quick_does_not_defer(chain: Chain, gateway: Gateway) -> None:
    chain.load(chain.extract().returned, deferrable=True)
    chain.assert_table_is_truth(details=False)


def test_a_job_that_fails_meanwhile(
    chain: Chain, gateway: Gateway, capfd: pytest.CaptureFixture[str]
) -> None:
    """Its message can quote a record: it is neither logged nor stored."""
    manifest = str(chain.extract().returned)
    gateway.running = MERGE
    trigger = defer(chain, manifest)
    gateway.running = "-"
    gateway.end(trigger.job_id, "invalid", "Bad value: Ms Secret")
    event = event_of(trigger)
    again = partial(resume, chain, manifest, event)
    message = refused(again, "invalid at query", kind=TalkPilotTaskError)
    assert "Secret" not in f"{event} {message} {capfd.readouterr()}"
    undo(chain)
    chain.load(manifest)
    assert attempts(gateway, MERGE) == ["0", "1"]
    chain.assert_table_is_truth(details=False)


def test_a_trigger_that_cannot_look_at_the_job(chain: Chain, gateway: Gateway) -> None:
    """The task goes on by itself, and waits in the worker."""
    manifest = str(chain.extract().returned)
    gateway.running = MERGE
    trigger = defer(chain, manifest)
    trigger.project_id = "`"
    event = event_of(trigger)
    looks = len(gateway.looked_at)
    with ThreadPoolExecutor(1) as pool:
        ended = pool.submit(resume, chain, manifest, event)
        try:
            wait_until(lambda: len(gateway.looked_at) > looks + 2)
        finally:
            gateway.running = "-"
    assert ended.result()["changed"] == 46
    assert attempts(gateway, MERGE) == ["0"]


def test_a_merge_that_lost_to_another_runs_again(
    chain: Chain, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "BUSY_PAUSE", 0)
    gateway.fail(
        MERGE,
        ("invalidQuery", "Could not serialize access to table a:b.c due to concurrent update"),
        ("resourcesExceeded", "Too many DML statements outstanding against table a:b.c"),
        ("rateLimitExceeded", "Exceeded rate limits"),
    )
    result = chain.load(chain.extract().returned).returned
    assert result["merge_job_id"].endswith("-3"), "three attempts lost"
    chain.assert_table_is_truth(details=False)


def test_a_merge_that_fails_otherwise_does_not(chain: Chain, gateway: Gateway) -> None:
    manifest = chain.extract().returned
    gateway.fail(MERGE, ("invalidQuery", "Unrecognized name"))
    refused(lambda: chain.load(manifest), "invalidQuery at query", kind=TalkPilotTaskError)
    assert attempts(gateway, MERGE) == ["0"]


def test_every_job_that_reads_the_table_has_a_limit(chain: Chain, gateway: Gateway) -> None:
    limit: dict[str, Any] = {"maximum_bytes_billed": 10**9}
    calls = str(chain.extract().returned)
    for _ in range(2):
        chain.load(calls, **limit)
        chain.load(str(chain.enrich(calls, **limit).returned), **limit)
    interval = ("2026-04-15", "2026-04-16")
    run_task(TalkPilotChooseDaysOperator, interval=interval, table=chain.table, **limit)
    assert gateway.limits == {10**9}


def test_a_killed_task_cancels_its_own_job_and_the_next_try_runs_it_again(
    chain: Chain, gateway: Gateway, caplog: pytest.LogCaptureFixture
) -> None:
    tasks: list[TalkPilotLoadCallsOperator] = []

    class Load(TalkPilotLoadCallsOperator):
        def execute(self, context: Any) -> Any:
            tasks.append(self)
            return super().execute(context)

    def load() -> Any:
        return run_task(Load, manifest_uri=manifest, table=chain.table).returned

    manifest = chain.extract().returned
    caplog.set_level(logging.INFO)
    gateway.running = MERGE
    with ThreadPoolExecutor(2) as pool:
        try:
            killed = pool.submit(load)
            wait_until(lambda: gateway.looked_at)
            TalkPilotLoadCallsOperator(
                task_id="other", manifest_uri="/x/calls.json", table=chain.table
            ).on_kill()
            assert gateway.cancelled == []
            tasks[0].on_kill()
            [job_id] = gateway.cancelled
            # BigQuery takes its time: the next try finds the job running.
            undo(chain)
            again = pool.submit(load)
            wait_until(lambda: f"Waiting for the job {job_id}" in caplog.text)
        finally:
            for each in gateway.submitted:
                gateway.end(each, "stopped", "Job execution was cancelled")
            gateway.running = "-"
        with pytest.raises(AirflowException, match="stopped"):
            killed.result()
        assert again.result()["merge_job_id"].endswith("-1")
    tasks[1].on_kill()
    assert gateway.cancelled == [job_id], "nothing runs any more"
    chain.assert_table_is_truth(details=False)
