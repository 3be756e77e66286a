"""Operator that brings what is staged into BigQuery."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseOperator
from airflow.providers.google.cloud.hooks.bigquery import BigQueryHook

from airflow_provider_talkpilot.bigquery.errors import bigquery_errors
from airflow_provider_talkpilot.bigquery.load import LoadOptions, load_calls
from airflow_provider_talkpilot.bigquery.reconcile import ErasureLimit
from airflow_provider_talkpilot.bigquery.table_id import TableId
from airflow_provider_talkpilot.operators.base import airflow_errors, is_true
from airflow_provider_talkpilot.staging.manifest import Manifest
from airflow_provider_talkpilot.staging.storage import parse_uri

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context, XComArg


class TalkPilotLoadCallsOperator(BaseOperator):
    """
    Load staged calls or details: one load job into a staging table, one MERGE into the table.

    Idempotent: job ids follow from the manifest, a retry waits for a job that still runs, and the
    MERGE gives the same table however often it runs. Dataset and table are created where they are
    missing, and columns that an older table lacks are added. Parts in ``gs://`` are read by
    BigQuery itself, others are uploaded.

    A walk without filters tells which calls TalkPilot no longer has. Their rows get ``erased_at``
    and lose all personal data. When those are suspiciously many, the task stops before it changes
    anything. Afterwards the table must have what the walk gave.

    :param manifest_uri: of an extract or enrich task: ``extract.output``. (templated)
    :param table: target table, ``project.dataset.table``. (templated)
    :param gcp_conn_id: the Google Cloud connection. (templated)
    :param location: where jobs run; where the dataset is by default. (templated)
    :param impersonation_chain: service account to impersonate, as in the Google provider.
        (templated)
    :param max_erased_share: share of the interval's calls, 0 to 1, that may be gone at once.
    :param max_erased: so many calls may be gone in any case.
    :param confirm_erasure: erase however many are gone. (templated)
    :param maximum_bytes_billed: a query that would read more fails; None for no such limit.
    :return: ``rows``, ``changed``, ``erased``, ``live``, the jobs' ids, ``bytes_processed``,
        ``manifest_uri``.
    """

    template_fields: Sequence[str] = (
        "manifest_uri",
        "table",
        "gcp_conn_id",
        "location",
        "impersonation_chain",
        "confirm_erasure",
    )
    ui_color = "#d6e9f8"

    def __init__(
        self,
        *,
        manifest_uri: str | XComArg,
        table: str,
        gcp_conn_id: str = "google_cloud_default",
        location: str | None = None,
        impersonation_chain: str | Sequence[str] | None = None,
        max_erased_share: float = 0.05,
        max_erased: int = 10,
        confirm_erasure: bool | str = False,
        maximum_bytes_billed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.manifest_uri = manifest_uri
        self.table = table
        self.gcp_conn_id = gcp_conn_id
        self.location = location
        self.impersonation_chain = impersonation_chain
        self.max_erased_share = max_erased_share
        self.max_erased = max_erased
        self.confirm_erasure = confirm_erasure
        self.maximum_bytes_billed = maximum_bytes_billed

    def execute(self, context: Context) -> dict[str, Any]:
        """Load and merge."""
        with airflow_errors(), bigquery_errors(self.gcp_conn_id):
            target = TableId.parse(self.table)
            path = parse_uri(str(self.manifest_uri))
            manifest = Manifest.load(path)
            hook = BigQueryHook(
                gcp_conn_id=self.gcp_conn_id,
                location=self.location,
                use_legacy_sql=False,
                impersonation_chain=self.impersonation_chain,
            )
            # The connection's project pays for the jobs; the table can be in another.
            client = hook.get_client(project_id=hook.project_id, location=self.location)
            options = LoadOptions(
                location=self.location,
                erasure_limit=ErasureLimit(
                    self.max_erased_share, self.max_erased, is_true(self.confirm_erasure)
                ),
                maximum_bytes_billed=self.maximum_bytes_billed,
            )
            result = load_calls(client, path.parent, manifest, target, options)
        return asdict(result) | {"manifest_uri": str(path)}
