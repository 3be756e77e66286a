"""The sensor that waits until staff have dealt with calls."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_talkpilot.api.done import DoneWatch
from airflow_provider_talkpilot.api.errors import QuotaExhaustedError
from airflow_provider_talkpilot.api.exchange import run
from airflow_provider_talkpilot.compat import BaseSensorOperator, PokeReturnValue, conf
from airflow_provider_talkpilot.exceptions import (
    TalkPilotSensorTimeoutError,
    TalkPilotTaskError,
    TalkPilotTaskFailError,
)
from airflow_provider_talkpilot.hooks.talkpilot import TalkPilotHook
from airflow_provider_talkpilot.operators.arguments import (
    Argument,
    check_bounds,
    checked,
    read_agents,
    read_bound,
    read_interval,
    read_text,
)
from airflow_provider_talkpilot.operators.base import airflow_errors
from airflow_provider_talkpilot.operators.requests import DEFER_AFTER
from airflow_provider_talkpilot.triggers.calls import TalkPilotCallsDoneTrigger

if TYPE_CHECKING:
    from airflow_provider_talkpilot.compat import Context

# Ten years. Airflow overflows with much longer times.
LONGEST_SECONDS = 315_360_000.0
# Airflow's own time-out of a deferral comes later than ours, whose message says more. It is needed
# only when no triggerer runs.
TRIGGER_GRACE = timedelta(minutes=1)


class TalkPilotCallsDoneSensor(BaseSensorOperator):
    """
    Wait until the calls of an interval, or a share of them, are ``done``.

    A call whose ``done`` is null is not done. Soft-deleted calls do not count. The sensor waits for
    the end of the interval, because new calls can still come. An interval that is over and has no
    calls is done. While a call is not done, a poke mostly costs one request; docs/sensor.md has the
    numbers.

    :param done_share: the share of the calls that must be done, above 0 and up to 1.
    :param agent_ids: UUIDs of agents, or a JSON list of them; by default every agent that the key
        can see, listed once (by a rescheduled sensor at every poke). An empty list is an error.
        (templated)
    :param start: first moment of the interval, ISO 8601, in UTC unless it names an offset; by
        default that of the run's data interval. (templated)
    :param end: first moment after the interval, likewise. (templated)
    :param talkpilot_conn_id: the TalkPilot connection. (templated)
    :param deferrable: check in the triggerer after the first poke, instead of in a worker. Then
        ``mode``, ``exponential_backoff`` and ``max_wait`` have no effect.
    :param poke_interval: seconds between two pokes, or a timedelta; every poke costs requests.
    :return: counts of calls: ``calls`` and ``done``.
    """

    ui_color = "#e3f2ef"
    template_fields_renderers: ClassVar[dict[str, str]] = {"agent_ids": "json"}
    agent_ids = Argument(read_agents, default=None, refuses_none=True)
    start = Argument(read_bound, default=None)
    end = Argument(read_bound, default=None)
    talkpilot_conn_id = Argument(read_text)

    def __init__(
        self,
        *,
        done_share: float = 1.0,
        agent_ids: Sequence[str] | str | None = None,
        start: str | None = None,
        end: str | None = None,
        talkpilot_conn_id: str = TalkPilotHook.default_conn_name,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        poke_interval: timedelta | float = 300,
        **kwargs: Any,
    ) -> None:
        for name, value in (
            ("poke_interval", poke_interval),
            ("timeout", kwargs.get("timeout", 0)),
        ):
            seconds = value.total_seconds() if isinstance(value, timedelta) else value
            checked(name, seconds, float, ge=0, le=LONGEST_SECONDS)
        super().__init__(poke_interval=poke_interval, **kwargs)
        self.done_share = checked("done_share", done_share, float, gt=0, le=1)
        self.agent_ids = agent_ids
        self.start = start
        self.end = end
        check_bounds(self.start, self.end)
        self.talkpilot_conn_id = talkpilot_conn_id
        self.deferrable = checked("deferrable", deferrable, bool)
        self._watch: DoneWatch | None = None

    def poke(self, context: Context) -> PokeReturnValue:
        """
        Check once how many calls are done.

        A deferrable sensor defers if not enough are.
        """
        with airflow_errors():
            if self._watch is None:
                interval = read_interval(context, self.start, self.end)
                self._watch = DoneWatch(interval, self.done_share, self.agent_ids)
            result, next_poke_at = self._check(self._watch)
        if not result.is_done and self.deferrable:
            self._defer(self._watch, next_poke_at)
        return result

    def _check(self, watch: DoneWatch) -> tuple[PokeReturnValue, datetime]:
        """Return the result of a check, and when to check again."""
        now = datetime.now(UTC)
        again = now + timedelta(seconds=self.poke_interval)
        if now < watch.interval.end:
            self.log.info("The interval %s is not over: new calls can still come.", watch.interval)
            return PokeReturnValue(False), max(again, watch.interval.end)
        frees_worker = self.deferrable or self.reschedule
        max_wait = DEFER_AFTER.total_seconds() if frees_worker else None
        try:
            with TalkPilotHook(self.talkpilot_conn_id).get_conn(max_wait=max_wait) as client:
                count = run(client.fetch, watch.check())
        except QuotaExhaustedError as exhausted:
            self.log.info("%s", exhausted)
            return PokeReturnValue(False), max(again, exhausted.resume_at)
        requests = sum(client.requests.values())
        self.log.info("%s (%d request(s)).", count.of(watch.interval), requests)
        counts = {"calls": count.calls, "done": count.done}
        return PokeReturnValue(count.is_done, counts), again

    def _defer(self, watch: DoneWatch, next_poke_at: datetime) -> None:
        timeout = timedelta(seconds=self.timeout)
        trigger = TalkPilotCallsDoneTrigger(
            talkpilot_conn_id=self.talkpilot_conn_id,
            start=watch.interval.start.isoformat(),
            end=watch.interval.end.isoformat(),
            agent_ids=watch.agent_ids,
            done_share=self.done_share,
            poke_interval=self.poke_interval,
            next_poke_at=next_poke_at.isoformat(),
            timeout_at=(datetime.now(UTC) + timeout).isoformat(),
            are_named=watch.are_named,
        )
        self.defer(trigger=trigger, method_name="execute_complete", timeout=timeout + TRIGGER_GRACE)

    def execute_complete(self, context: Context, event: dict[str, Any]) -> dict[str, int]:
        """
        End as the trigger's event says.

        :raises TalkPilotSensorTimeoutError: when the time was up.
        :raises TalkPilotTaskFailError: when the user must change something first.
        :raises TalkPilotTaskError: when the next try can succeed.
        """
        if event["status"] == "timeout":
            raise TalkPilotSensorTimeoutError(event["message"])
        if event["status"] == "error":
            kind = TalkPilotTaskError if event.get("retryable") else TalkPilotTaskFailError
            raise kind(event["message"])
        return {"calls": event["calls"], "done": event["done"]}
