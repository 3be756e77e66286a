"""The sensor succeeds when staff are done with the calls, and spends few requests."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowSensorTimeout, AirflowSkipException

from airflow_provider_talkpilot.exceptions import TalkPilotTaskError
from airflow_provider_talkpilot.sandbox import Sandbox
from tests.integration.chain import refused
from tests.integration.sensing import (
    DAY,
    EMPTY,
    Connect,
    calls_of,
    defer,
    finish,
    fire,
    poke,
    resume,
    sense,
    spent,
)

pytestmark = pytest.mark.usefixtures("connect")


def test_all_are_done(sandbox: Sandbox) -> None:
    finish(sandbox)
    count = len(calls_of(sandbox))
    assert sense().returned == {"calls": count, "done": count}
    assert spent(sandbox) == {"agents": 1, "calls": 2}


def test_a_poke_costs_one_request_while_open(sandbox: Sandbox, log_of: Callable[[], str]) -> None:
    [left] = finish(sandbox, but=1)
    # The first poke lists the agents and checks one or two of them. Later pokes check one.
    sandbox.scripts.add("edit", after=12, call_id=left, done=True)
    count = len(calls_of(sandbox))
    assert sense().returned == {"calls": count, "done": count}
    assert spent(sandbox)["agents"] == 1
    assert spent(sandbox)["calls"] == 12 + 2
    interval = "[2026-03-16T00:00:00Z, 2026-03-17T00:00:00Z)"
    log = log_of()
    assert log.count(f"call(s) looked at in {interval}, ") >= 10
    assert log.count(f"Of {count} call(s) looked at in {interval}, {count} are done (2 req") == 1


def test_an_interval_without_calls_is_done(sandbox: Sandbox) -> None:
    assert sense(interval=EMPTY).returned == {"calls": 0, "done": 0}
    assert spent(sandbox) == {"agents": 1, "calls": 2}


def test_the_params_choose_the_interval(sandbox: Sandbox) -> None:
    finish(sandbox)
    bounds = {"start": "{{ params.start }}", "end": "{{ params.end }}"}
    params = {"start": DAY[0], "end": "2026-03-17T00:00"}
    assert poke(interval=None, params=params, **bounds)
    assert not poke(interval=None, params=params | {"end": "2026-03-18"}, **bounds)


def test_a_running_interval_costs_nothing(sandbox: Sandbox, log_of: Callable[[], str]) -> None:
    end = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    assert not poke(start="2026-03-16", end=end)
    assert "is not over: new calls can still come" in log_of()
    deferred, trigger = defer(start="2026-03-16", end=end, timeout=7200)
    assert deferred.trigger.agent_ids is None, "agents can still come too"
    assert datetime.fromisoformat(trigger.next_poke_at) == datetime.fromisoformat(end)
    assert not spent(sandbox)


def refuse(sandbox: Sandbox, connect: Connect, status: str) -> dict[str, Any]:
    """Make the API refuse the sensor; return the sensor's options."""
    if status == "401":
        sandbox.settings.api_keys[sandbox.api_key].active = False
    if status == "403":
        connect(password=sandbox.add_key("wanting", permissions=["agents:read"]))
    if status == "404":
        return {"agent_ids": ["7b0a2f0c-0000-4000-8000-000000000001"]}
    return {}


@pytest.mark.parametrize("status", ["401", "403", "404"])
def test_a_refusal_fails_at_once(sandbox: Sandbox, connect: Connect, status: str) -> None:
    finish(sandbox, but=1)
    _, trigger = defer()
    options = refuse(sandbox, connect, status)
    trigger.agent_ids, trigger.are_named = options.get("agent_ids", trigger.agent_ids), True
    runs = [partial(sense, **options, deferrable=deferrable) for deferrable in (False, True)]
    for run in (*runs, partial(resume, fire(trigger))):
        assert sandbox.api_key not in refused(run, f"responded {status}")
        with pytest.raises(AirflowSkipException):
            run(soft_fail=True)


def test_a_failing_server_fails_the_try(sandbox: Sandbox, connect: Connect) -> None:
    connect(extra={"tries": 1})
    for deferrable in (True, False):
        sandbox.faults.add("status", kind="calls")
        poll = partial(sense, deferrable=deferrable)
        refused(poll, "TalkPilot has a problem", kind=TalkPilotTaskError)


def test_time_is_up(sandbox: Sandbox) -> None:
    finish(sandbox, but=1)
    with pytest.raises(AirflowSensorTimeout):
        sense(timeout=0)
    with pytest.raises(AirflowSkipException):
        sense(timeout=0, soft_fail=True)
