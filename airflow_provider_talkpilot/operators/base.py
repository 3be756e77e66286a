"""What the operators share: errors for Airflow, the arguments for Google, the XCom ``summary``."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any

from airflow_provider_talkpilot.api import Interval
from airflow_provider_talkpilot.api.errors import QuotaExhaustedError
from airflow_provider_talkpilot.bigquery.client import bigquery_client
from airflow_provider_talkpilot.compat import BaseOperator
from airflow_provider_talkpilot.exceptions import (
    TYPED_ERRORS,
    TalkPilotTaskError,
    TalkPilotTaskFailError,
)
from airflow_provider_talkpilot.operators.arguments import (
    Argument,
    checked,
    read_accounts,
    read_text,
)

if TYPE_CHECKING:
    from airflow.providers.openlineage.extractors import OperatorLineage
    from google.cloud.bigquery import Client

    from airflow_provider_talkpilot.compat import Context

SUMMARY_ENTRIES = 100


@contextmanager
def airflow_errors() -> Iterator[None]:
    """Raise our errors as Airflow's: one line each, and retried only where a retry can help.

    :raises TalkPilotTaskFailError: when the user must change something first.
    :raises TalkPilotTaskError: when the next try can succeed.
    """
    try:
        yield
    except QuotaExhaustedError:
        raise  # no failure: operators defer
    except TYPED_ERRORS as error:
        kind = TalkPilotTaskError if error.retryable else TalkPilotTaskFailError
        raise kind(str(error), error) from None


class TalkPilotBigQueryOperator(BaseOperator):
    """
    Base of the operators that talk to BigQuery.

    :param gcp_conn_id: the Google Cloud connection. (templated)
    :param location: where the jobs run; by default where the dataset is. (templated)
    :param impersonation_chain: the service account to impersonate, as in the Google provider.
        (templated)
    :param maximum_bytes_billed: a query that would read more fails; None for no limit.
    """

    gcp_conn_id = Argument(read_text)
    location = Argument(read_text, default=None)
    impersonation_chain = Argument(read_accounts, default=None)
    # Describes what the task read and wrote, once it has.
    _lineage: Callable[[], OperatorLineage[Any, Any]] | None = None

    def __init__(
        self,
        *,
        gcp_conn_id: str = "google_cloud_default",
        location: str | None = None,
        impersonation_chain: str | Sequence[str] | None = None,
        maximum_bytes_billed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.gcp_conn_id = gcp_conn_id
        self.location = location
        self.impersonation_chain = impersonation_chain
        self.maximum_bytes_billed = checked(
            "maximum_bytes_billed", maximum_bytes_billed, int | None, ge=1
        )

    def get_openlineage_facets_on_complete(self, _: Any) -> OperatorLineage[Any, Any]:
        """Describe for OpenLineage what the task read and wrote."""
        from airflow.providers.openlineage.extractors import OperatorLineage

        return self._lineage() if self._lineage else OperatorLineage()

    def warehouse(self) -> AbstractContextManager[Client]:
        """Create a client of BigQuery; see :func:`bigquery_client`."""
        return bigquery_client(self.gcp_conn_id, self.location, self.impersonation_chain)


class Summary:
    """The XCom ``summary``: what a task works on and what it did; docs/api.md has the entries.

    A task that stages or loads pushes it when it knows its work, so that running and failed tasks
    have one too. It pushes it again, with figures, when the work is done. Tasks that clean or
    choose days push it once, at their end.
    """

    def __init__(self, context: Context, **entries: Any) -> None:
        self._context, self._entries = context, entries

    def push(
        self, *, interval: Interval | None = None, manifest: object = None, **entries: Any
    ) -> None:
        """Push all entries so far, and these."""
        if interval is not None:
            bounds = {"start": interval.start.isoformat(), "end": interval.end.isoformat()}
            entries["interval"] = bounds
        if manifest is not None:
            entries["manifest"] = str(manifest)
        self._entries |= entries
        self._context["ti"].xcom_push(key="summary", value=dict(self._entries))


def short_lists(**lists: Collection[Any] | None) -> dict[str, Any]:
    """Return entries for a summary, without long lists: XComs are no place for them."""
    return {name: value for name, value in lists.items() if len(value or ()) <= SUMMARY_ENTRIES}
