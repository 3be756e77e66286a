"""The base of the operators that send requests: they defer while the quota is used up."""

from __future__ import annotations

from abc import abstractmethod
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.standard.triggers import TimeDeltaTrigger

from airflow_provider_talkpilot.api import TalkPilotClient
from airflow_provider_talkpilot.api.errors import QuotaExhaustedError
from airflow_provider_talkpilot.compat import Stats, conf
from airflow_provider_talkpilot.hooks.talkpilot import TalkPilotHook
from airflow_provider_talkpilot.links.talkpilot import DASHBOARD_KEY
from airflow_provider_talkpilot.operators.arguments import Argument, checked, read_text
from airflow_provider_talkpilot.operators.base import (
    Summary,
    TalkPilotBigQueryOperator,
    airflow_errors,
)
from airflow_provider_talkpilot.staging.ledger import StagedLedger
from airflow_provider_talkpilot.staging.names import ledger_folder

if TYPE_CHECKING:
    from airflow_provider_talkpilot.compat import Context, ObjectStoragePath

DEFER_AFTER = timedelta(minutes=2)


class TalkPilotRequestsOperator(TalkPilotBigQueryOperator):
    """
    Base of the operators that send requests. They free the worker while the quota is used up.

    What was fetched is staged before the task defers. The task continues from there.

    :param talkpilot_conn_id: the TalkPilot connection. (templated)
    :param deferrable: defer when the key's quota is used up for longer than ``defer_after``;
        otherwise wait in the worker. The default is ``[operators] default_deferrable``.
    :param defer_after: the longest wait in the worker. The walk of a long list within two minutes,
        which cannot be cut into slices, waits there to its end: deferred, it would begin anew.
    """

    talkpilot_conn_id = Argument(read_text)

    def __init__(
        self,
        *,
        talkpilot_conn_id: str = TalkPilotHook.default_conn_name,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        defer_after: timedelta = DEFER_AFTER,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.talkpilot_conn_id = talkpilot_conn_id
        self.deferrable = checked("deferrable", deferrable, bool)
        self.defer_after = checked("defer_after", defer_after, timedelta, gt=timedelta(0))

    @cached_property
    def hook(self) -> TalkPilotHook:
        """The hook, which reads the connection once."""
        return TalkPilotHook(self.talkpilot_conn_id)

    def execute(self, context: Context) -> Any:
        """Do the work, or do what the quota allows and defer."""
        return self._run(context)

    def execute_complete(self, context: Context, event: Any = None) -> Any:
        """Continue after a deferral; all state is in staging."""
        # Not by execute(): Airflow 2.11 warns of every call of it that it did not make itself.
        return self._run(context)

    def _run(self, context: Context) -> Any:
        max_wait = self.defer_after.total_seconds() if self.deferrable else None
        try:
            with airflow_errors():
                root = self._staging_root()
                ledger = StagedLedger(ledger_folder(root, self.talkpilot_conn_id)) if root else None
                with self.hook.get_conn(max_wait=max_wait, ledger=ledger) as client:
                    figures = {
                        "connection_id": self.talkpilot_conn_id,
                        "requests_per_hour": client.quota.per_hour,
                        DASHBOARD_KEY: self.hook.fields.options.dashboard_url,
                    }
                    known = {name: value for name, value in figures.items() if value is not None}
                    self._summary = Summary(context, **known)
                    try:
                        return self._work(client, context)
                    finally:
                        for kind, number in sorted(client.requests.items()):
                            self._count("requests", number, kind=kind)
                        self._count("refused", client.refused)
        except QuotaExhaustedError as exhausted:
            self.log.info("%s The task defers until then and goes on from there.", exhausted)
            trigger = TimeDeltaTrigger(exhausted.resume_at - datetime.now(UTC))
        self.defer(trigger=trigger, method_name="execute_complete")
        raise AssertionError("defer() raises")

    @abstractmethod
    def _work(self, client: TalkPilotClient, context: Context) -> Any:
        """Do the work; return what the task returns."""

    def _staging_root(self) -> ObjectStoragePath | None:
        """Return the root of staging, where the connection's ledger is; None if there is none."""
        return None

    def _count(self, metric: str, number: int, **tags: str) -> None:
        """Add to a metric of Airflow's; send nothing for zero."""
        if number:
            tags = {"connection_id": self.talkpilot_conn_id, **tags}
            Stats.incr(f"talkpilot.{metric}", number, tags=tags)
