"""What the operators share: errors as Airflow understands them, requests within the quota, sums."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.common.compat.standard.triggers import TimeDeltaTrigger

from airflow_provider_talkpilot.api import Interval, TalkPilotClient
from airflow_provider_talkpilot.api.errors import QuotaExhaustedError, TalkPilotError
from airflow_provider_talkpilot.bigquery.client import bigquery_client
from airflow_provider_talkpilot.bigquery.errors import BigQueryLoadError
from airflow_provider_talkpilot.compat import BaseOperator, Stats, XComArg, conf
from airflow_provider_talkpilot.exceptions import TalkPilotTaskError, TalkPilotTaskFailError
from airflow_provider_talkpilot.hooks.talkpilot import TalkPilotHook
from airflow_provider_talkpilot.lineage.openlineage import OpenLineageMixin
from airflow_provider_talkpilot.links.talkpilot import DASHBOARD_KEY
from airflow_provider_talkpilot.operators.arguments import (
    check_argument,
    check_unless_template,
    read_accounts,
    read_name,
    read_text,
)
from airflow_provider_talkpilot.staging.errors import StagingError
from airflow_provider_talkpilot.staging.ledger import StagedLedger
from airflow_provider_talkpilot.staging.names import ledger_folder

if TYPE_CHECKING:
    from google.cloud.bigquery import Client

    from airflow_provider_talkpilot.compat import Context, ObjectStoragePath

DEFER_AFTER = timedelta(minutes=2)


@contextmanager
def airflow_errors() -> Iterator[None]:
    """Raise our errors as one line, and without retries where a retry cannot help.

    :raises TalkPilotTaskFailError: for what a user must mend first.
    :raises TalkPilotTaskError: for what can work at the next try.
    """
    try:
        yield
    except QuotaExhaustedError:
        raise  # not a failure: operators defer on it
    except (TalkPilotError, StagingError, BigQueryLoadError) as error:
        kind = TalkPilotTaskError if error.retryable else TalkPilotTaskFailError
        raise kind(str(error), error) from None


class FromOtherTasks:
    """Mixin of operators: where another task gave nothing, an argument is no default.

    Airflow makes None of the XCom of a task that was skipped or marked as succeeded, and None is
    every agent, every column, or the run's own interval.

    :cvar may_be_missing: the arguments for which that is right.
    """

    may_be_missing: ClassVar[frozenset[str]] = frozenset()

    def __setattr__(self, name: str, value: object) -> None:
        given = self.__dict__.get(name)
        if value is None and isinstance(given, XComArg) and name not in self.may_be_missing:
            task = getattr(getattr(given, "operator", None), "task_id", "of another name")
            raise TalkPilotTaskFailError(
                f"{name} is nothing: the task {task} that gives it was skipped, was marked as "
                "succeeded, or its XCom is gone. Clear that task, so that it runs again."
            )
        super().__setattr__(name, value)


class TalkPilotBigQueryOperator(FromOtherTasks, BaseOperator):
    """
    Base of the operators that talk to BigQuery.

    :param gcp_conn_id: the Google Cloud connection. (templated)
    :param location: where its jobs run; where the dataset is by default. (templated)
    :param impersonation_chain: service account to impersonate, as in the Google provider.
        (templated)
    """

    template_fields: Sequence[str] = ("gcp_conn_id", "location", "impersonation_chain")

    def __init__(
        self,
        *,
        gcp_conn_id: str = "google_cloud_default",
        location: str | None = None,
        impersonation_chain: str | Sequence[str] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_unless_template(read_name, "gcp_conn_id", gcp_conn_id)
        check_unless_template(read_text, "location", location)
        check_unless_template(read_accounts, impersonation_chain)
        self.gcp_conn_id = gcp_conn_id
        self.location = location
        self.impersonation_chain = impersonation_chain

    def warehouse(self) -> AbstractContextManager[Client]:
        """Make a client of BigQuery from the rendered arguments; see :func:`bigquery_client`."""
        return bigquery_client(
            read_name("gcp_conn_id", self.gcp_conn_id),
            read_text("location", self.location),
            read_accounts(self.impersonation_chain),
        )


class TalkPilotRequestsOperator(FromOtherTasks, OpenLineageMixin, BaseOperator):
    """
    Base of the operators that spend requests: they give the worker back while the quota is used up.

    What was fetched is staged before the task defers; it goes on from there.

    :param talkpilot_conn_id: the TalkPilot connection. (templated)
    :param deferrable: defer when the key's quota is used up for longer than ``defer_after``;
        without it, wait in the worker. By default what ``[operators] default_deferrable`` says.
    :param defer_after: the longest wait inside the worker.
    """

    def __init__(
        self,
        *,
        talkpilot_conn_id: str = TalkPilotHook.default_conn_name,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        defer_after: timedelta = DEFER_AFTER,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_unless_template(read_name, "talkpilot_conn_id", talkpilot_conn_id)
        check_argument("deferrable", deferrable, bool)
        check_argument("defer_after", defer_after, timedelta, gt=timedelta(0))
        self.talkpilot_conn_id = talkpilot_conn_id
        self.deferrable = deferrable
        self.defer_after = defer_after
        self._connection_figures: dict[str, Any] = {}

    def execute(self, context: Context) -> Any:
        """Do the work, or as much as the quota allows and defer."""
        max_wait = self.defer_after.total_seconds() if self.deferrable else None
        try:
            with airflow_errors():
                conn_id = self.connection_id
                hook, root = TalkPilotHook(conn_id), self._staging_root()
                ledger = StagedLedger(ledger_folder(root, conn_id)) if root else None
                url = hook.dashboard_url()
                with (
                    hook.get_conn(max_wait=max_wait, ledger=ledger) as client,
                    _requests_counted(client, conn_id),
                ):
                    figures = {
                        "connection_id": conn_id,
                        "requests_per_hour": client.quota.per_hour,
                        DASHBOARD_KEY: url,
                    }
                    self._connection_figures = {k: v for k, v in figures.items() if v is not None}
                    return self._spend(client, context)
        except QuotaExhaustedError as exhausted:
            self.log.info("%s The task defers until then and goes on from there.", exhausted)
            trigger = TimeDeltaTrigger(exhausted.resume_at - datetime.now(UTC))
        self.defer(trigger=trigger, method_name="execute_complete")
        raise AssertionError("defer() raises")

    def execute_complete(self, context: Context, event: Any = None) -> Any:
        """Go on after a deferral; all state is in staging."""
        return self.execute(context)

    @property
    def connection_id(self) -> str:
        """The TalkPilot connection, as it was rendered."""
        return read_name("talkpilot_conn_id", self.talkpilot_conn_id)

    @abstractmethod
    def _spend(self, client: TalkPilotClient, context: Context) -> Any:
        """Do the work; give what the task returns."""

    def _staging_root(self) -> ObjectStoragePath | None:
        """The root of staging, where the connection's ledger is; None where there is none."""
        return None


@contextmanager
def _requests_counted(client: TalkPilotClient, connection_id: str) -> Iterator[None]:
    """Count in Airflow's metrics what a client spends inside the block, however it ends."""
    try:
        yield
    finally:
        for kind, number in sorted(client.requests.items()):
            count("requests", number, connection_id, kind=kind)
        count("refused", client.refused, connection_id)


def count(what: str, number: int, connection_id: str, **tags: str) -> None:
    """Add to a metric of Airflow's; nothing is sent for none."""
    if number:
        Stats.incr(f"talkpilot.{what}", number, tags={"connection_id": connection_id, **tags})


def push_summary(
    context: Context,
    kind: str,
    *,
    scope: str,
    interval: Interval | None = None,
    manifest: object = None,
    **figures: Any,
) -> None:
    """Push the XCom ``summary``: what a task works on, and what it did, never a record.

    A task pushes it once when it knows what it works on, without figures, so that a task that
    runs or failed can be told too; and again, with the figures, when it has done its work.
    docs/api.md describes the entries.
    """
    summary: dict[str, Any] = {"kind": kind, "scope": scope}
    if interval is not None:
        bounds = {"start": interval.start.isoformat(), "end": interval.end.isoformat()}
        summary["interval"] = bounds
    if manifest is not None:
        summary["manifest"] = str(manifest)
    context["ti"].xcom_push(key="summary", value=summary | figures)
