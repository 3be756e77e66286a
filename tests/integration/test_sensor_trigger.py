"""The trigger of a deferred sensor spends few requests and survives failures."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from airflow.providers.common.compat.sdk import AirflowSensorTimeout, AirflowSkipException

from airflow_provider_talkpilot.exceptions import TalkPilotTaskError
from airflow_provider_talkpilot.sandbox import Sandbox
from airflow_provider_talkpilot.sensors.calls import TRIGGER_GRACE
from tests.integration.chain import refused
from tests.integration.sensing import Connect, calls_of, defer, finish, fire, poke, resume, spent
from tests.support.windows import long_window

pytestmark = pytest.mark.usefixtures("connect")

# A hundred times what one request takes, because the machine may be busy.
ENOUGH_FOR_A_CHECK = timedelta(seconds=5)


def test_deferred_until_all_calls_are_done(sandbox: Sandbox, log_of: Callable[[], str]) -> None:
    [left] = finish(sandbox, but=1)
    deferred, trigger = defer(timeout=600, poke_interval=timedelta(seconds=0))
    assert deferred.timeout == timedelta(seconds=600) + TRIGGER_GRACE
    assert deferred.method_name == "execute_complete"
    sandbox.reset_counters()

    sandbox.scripts.add("edit", after=4, call_id=left, done=True)
    event = fire(trigger)
    count = len(calls_of(sandbox))
    assert event == {"status": "success", "calls": count, "done": count}
    # The trigger knows the agents, and which of them to check first.
    assert spent(sandbox) == {"calls": 4 + 2}
    assert resume(event).returned == {"calls": count, "done": count}
    assert "call(s) looked at in [2026-03-16T00:00:00Z, " in log_of()


def test_the_trigger_lists_the_agents_if_they_are_not_known(sandbox: Sandbox) -> None:
    finish(sandbox, but=1)
    _, trigger = defer()
    finish(sandbox)
    trigger.agent_ids = None
    assert fire(trigger)["status"] == "success"
    assert spent(sandbox) == {"agents": 1, "calls": 2}
    trigger.agent_ids = [str(uuid4()), *sandbox.store.agent_ids]
    assert fire(trigger)["status"] == "success"
    assert spent(sandbox)["agents"] == 2
    trigger.are_named = True
    assert fire(trigger)["retryable"] is False


def test_the_trigger_times_out(sandbox: Sandbox) -> None:
    finish(sandbox, but=1)
    _, trigger = defer(poke_interval=3600, timeout=3600)
    trigger.next_poke_at = datetime.now(UTC).isoformat()
    trigger.timeout_at = (datetime.now(UTC) + ENOUGH_FOR_A_CHECK).isoformat()
    event = fire(trigger)
    assert event["status"] == "timeout"
    assert "call(s) looked at in [2026-03-16T00:00:00Z, " in event["message"]
    with pytest.raises(AirflowSensorTimeout, match="has timed out"):
        resume(event)
    with pytest.raises(AirflowSkipException):
        resume(event, soft_fail=True)


@pytest.mark.parametrize("fault", ["status", "cut"])
def test_the_trigger_continues_after_a_failure_of_the_server(
    sandbox: Sandbox, connect: Connect, log_of: Callable[[], str], fault: Any
) -> None:
    finish(sandbox, but=1)
    _, trigger = defer()
    finish(sandbox)
    connect(extra={"tries": 1})
    sandbox.faults.add(fault, kind="calls", times=3)
    assert fire(trigger)["status"] == "success"
    assert log_of().count("checks again in 0 s.") == 3


def test_a_triggerer_without_connection(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sensor's next try tells whether the connection is there."""
    finish(sandbox, but=1)
    _, trigger = defer()
    monkeypatch.delenv("AIRFLOW_CONN_TALKPILOT_DEFAULT")
    event = fire(trigger)
    refused(lambda: resume(event), "no TalkPilot connection", kind=TalkPilotTaskError)


@pytest.mark.slow
def test_the_trigger_waits_as_long_as_a_refusal_says(sandbox: Sandbox) -> None:
    finish(sandbox, but=1)
    _, trigger = defer()
    finish(sandbox)
    sandbox.faults.add("rate_limited", kind="calls", retry_after=3600)
    trigger.timeout_at = (datetime.now(UTC) + ENOUGH_FOR_A_CHECK).isoformat()
    assert fire(trigger)["status"] == "timeout", "the refusal says an hour"
    assert spent(sandbox) == {"calls": 1, "refused": 1, "faults": 1}
    sandbox.faults.add("rate_limited", kind="calls", retry_after=0)
    trigger.timeout_at = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    assert fire(trigger)["status"] == "success"
    assert spent(sandbox) == {"calls": 1 + 1 + 2, "refused": 2, "faults": 2}


def test_the_worker_does_not_wait_for_a_used_up_quota(sandbox: Sandbox) -> None:
    finish(sandbox)
    sandbox.settings.patch(requests_per_hour=1000, hour_seconds=long_window())
    sandbox.spend(1000)
    assert not poke(mode="reschedule")
    _, trigger = defer()
    wait = datetime.fromisoformat(trigger.next_poke_at) - datetime.now(UTC)
    assert timedelta(minutes=2) < wait < timedelta(hours=1)


def test_a_cancelled_trigger_leaves_nothing_behind(sandbox: Sandbox) -> None:
    finish(sandbox, but=1)
    _, trigger = defer()

    requested = threading.Event()
    sandbox.state.before_request = lambda kind, count: requested.set() if count == 5 else None

    async def cancelled() -> None:
        task = asyncio.ensure_future(anext(aiter(trigger.run())))
        await asyncio.to_thread(requested.wait, 60)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancelled())
