"""Runs of the sensor and its trigger, for the tests of both."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from importlib import import_module
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import TaskDeferred

from airflow_provider_talkpilot.sandbox import Sandbox
from airflow_provider_talkpilot.sensors.calls import TalkPilotCallsDoneSensor
from airflow_provider_talkpilot.triggers.calls import TalkPilotCallsDoneTrigger
from tests.integration.chain import day
from tests.support.tasks import Outcome, run_task

DAY = day()
EMPTY = "2026-01-05", "2026-01-06"

# Sets the TalkPilot connection, with some fields changed.
Connect = Callable[..., None]


def sense(**options: Any) -> Outcome:
    """Run the sensor to its end, without pauses."""
    defaults: dict[str, Any] = {"interval": DAY, "poke_interval": 0, "timeout": 60}
    return run_task(TalkPilotCallsDoneSensor, **(defaults | options))


def poke(**options: Any) -> bool:
    """Check once."""
    return bool(sense(method="poke", **options).returned)


def calls_of(sandbox: Sandbox, interval: tuple[str, str] = DAY) -> list[dict[str, Any]]:
    """Return the calls that count."""
    return [call for call in sandbox.store.truth(*interval) if call["deleted_at"] is None]


def finish(sandbox: Sandbox, but: int = 0) -> list[str]:
    """Mark every call of the day as done except some; return the ids of those."""
    calls = calls_of(sandbox)
    left = [call["id"] for call in calls[:but]]
    for call in calls:
        sandbox.store.edit(call["id"], done=None if call["id"] in left else True)
    sandbox.reset_counters()
    return left


def spent(sandbox: Sandbox) -> dict[str, int]:
    return {kind: count for kind, count in sandbox.counters.items() if count}


def defer(**options: Any) -> tuple[TaskDeferred, TalkPilotCallsDoneTrigger]:
    """Let the sensor defer; return its trigger as a triggerer creates it."""
    with pytest.raises(TaskDeferred) as caught:
        sense(deferrable=True, **options)
    path, arguments = caught.value.trigger.serialize()
    module, _, name = path.rpartition(".")
    trigger = getattr(import_module(module), name)(**json.loads(json.dumps(arguments)))
    assert trigger.serialize() == (path, arguments)
    return caught.value, trigger


def fire(trigger: TalkPilotCallsDoneTrigger) -> Any:
    """Run the trigger as a triggerer does; return its event as the database stores it."""

    async def first() -> Any:
        event = await anext(aiter(trigger.run()))
        return json.loads(json.dumps(event.payload))

    return asyncio.run(first())


def resume(event: dict[str, Any], **options: Any) -> Outcome:
    return sense(method="execute_complete", event=event, deferrable=True, **options)
