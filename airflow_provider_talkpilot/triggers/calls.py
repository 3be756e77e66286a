"""The trigger that checks, outside of any worker, whether the calls of an interval are done."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_talkpilot.api import Interval
from airflow_provider_talkpilot.api.done import DoneCount, DoneWatch
from airflow_provider_talkpilot.api.errors import ConfigurationError, TalkPilotError
from airflow_provider_talkpilot.api.exchange import run_async
from airflow_provider_talkpilot.hooks.talkpilot import TalkPilotHook


@dataclass(kw_only=True, eq=False, repr=False)
class TalkPilotCallsDoneTrigger(BaseTrigger):
    """
    Fire when the calls of an interval are done, when the time is up, or at a lasting error.

    It waits after a refusal (429) as long as TalkPilot says. When the network or the server fails,
    it checks again after ``poke_interval``. The event's ``status`` is ``success`` (with the counts
    ``calls`` and ``done``), ``timeout`` or ``error`` (both with a ``message``). An error says
    whether it is ``retryable``.

    :param talkpilot_conn_id: the TalkPilot connection; the key itself stays in it.
    :param start: first moment of the interval, ISO 8601 in UTC.
    :param end: first moment after it, likewise.
    :param agent_ids: UUIDs of agents; None for every agent that the key can see.
    :param done_share: the share of the calls that must be done, above 0 and up to 1.
    :param poke_interval: seconds between two checks.
    :param next_poke_at: when to check first, ISO 8601 in UTC.
    :param timeout_at: when to give up, likewise.
    :param are_named: whether a user named the agents; otherwise they come from the key's list, and
        are listed again when one of them is gone.
    """

    talkpilot_conn_id: str
    start: str
    end: str
    agent_ids: list[str] | None
    done_share: float
    poke_interval: float
    next_poke_at: str
    timeout_at: str
    are_named: bool = True

    def __post_init__(self) -> None:
        super().__init__()
        self._last_check = ""

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class and its arguments, from which a triggerer creates the trigger again."""
        return f"{type(self).__module__}.{type(self).__qualname__}", asdict(self)

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Check until one of the three happens."""
        yield TriggerEvent(await self._event())

    async def _event(self) -> dict[str, Any]:
        interval = Interval.parse(self.start, self.end)
        watch = DoneWatch(interval, self.done_share, self.agent_ids, are_named=self.are_named)
        self._last_check = f"{interval} was not checked yet"
        try:
            async with asyncio.timeout(_seconds_until(self.timeout_at)) as limit:
                count = await self._until_done(watch)
        except TimeoutError:
            if not limit.expired():
                raise
            message = f"The sensor has timed out. Its last check: {self._last_check}."
            return {"status": "timeout", "message": message}
        except TalkPilotError as error:
            return {"status": "error", "message": str(error), "retryable": error.retryable}
        return {"status": "success", "calls": count.calls, "done": count.done}

    async def _until_done(self, watch: DoneWatch) -> DoneCount:
        await asyncio.sleep(_seconds_until(self.next_poke_at))
        while True:
            try:
                # A new hook each time: the connection can change while the sensor waits.
                hook = TalkPilotHook(self.talkpilot_conn_id)
                async with await hook.get_async_conn() as client:
                    count = await run_async(client.fetch, watch.check())
            except TalkPilotError as error:
                # The worker has found the connection, so the triggerer may lack it for ever.
                if not error.retryable or isinstance(error, ConfigurationError):
                    raise
                self.log.warning("%s The sensor checks again in %.0f s.", error, self.poke_interval)
            else:
                self._last_check = count.of(watch.interval)
                self.log.info("%s.", self._last_check)
                if count.is_done:
                    return count
            await asyncio.sleep(self.poke_interval)


def _seconds_until(moment: str) -> float:
    remaining = datetime.fromisoformat(moment) - datetime.now(UTC)
    return max(0.0, remaining.total_seconds())
