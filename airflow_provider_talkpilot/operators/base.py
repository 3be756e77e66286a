"""What the operators share: errors as Airflow understands them, Google's arguments, summaries."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any

from airflow_provider_talkpilot.api import Interval
from airflow_provider_talkpilot.api.errors import QuotaExhaustedError, TalkPilotError
from airflow_provider_talkpilot.bigquery.client import bigquery_client
from airflow_provider_talkpilot.bigquery.errors import BigQueryLoadError
from airflow_provider_talkpilot.compat import BaseOperator
from airflow_provider_talkpilot.exceptions import TalkPilotTaskError, TalkPilotTaskFailError
from airflow_provider_talkpilot.lineage.openlineage import Movement, lineage_of
from airflow_provider_talkpilot.operators.arguments import (
    Argument,
    read_accounts,
    read_name,
    read_text,
)
from airflow_provider_talkpilot.staging.errors import StagingError

if TYPE_CHECKING:
    from airflow.providers.openlineage.extractors import OperatorLineage
    from google.cloud.bigquery import Client

    from airflow_provider_talkpilot.compat import Context


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


class TalkPilotBigQueryOperator(BaseOperator):
    """
    Base of the operators that talk to BigQuery.

    :param gcp_conn_id: the Google Cloud connection. (templated)
    :param location: where its jobs run; where the dataset is by default. (templated)
    :param impersonation_chain: service account to impersonate, as in the Google provider.
        (templated)
    """

    template_fields: Sequence[str] = ("gcp_conn_id", "location", "impersonation_chain")
    gcp_conn_id = Argument(read_name)
    location = Argument(read_text)
    impersonation_chain = Argument(read_accounts)
    movement: Movement | None = None

    def __init__(
        self,
        *,
        gcp_conn_id: str = "google_cloud_default",
        location: str | None = None,
        impersonation_chain: str | Sequence[str] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.gcp_conn_id = gcp_conn_id
        self.location = location
        self.impersonation_chain = impersonation_chain

    def get_openlineage_facets_on_complete(self, _: Any) -> OperatorLineage[Any, Any]:
        """Report to OpenLineage what the task moved, when it is done."""
        return lineage_of(self.movement)

    def warehouse(self) -> AbstractContextManager[Client]:
        """Make a client of BigQuery; see :func:`bigquery_client`."""
        return bigquery_client(self.gcp_conn_id, self.location, self.impersonation_chain)


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
