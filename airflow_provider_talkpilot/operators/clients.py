"""Google's client, made when a task runs.

Google's library imports pandas, which takes seconds. DAG files are read all the time, and so are
they at the start of each task: whatever needs the library is imported in ``execute``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from google.cloud.bigquery import Client


def bigquery_client(
    gcp_conn_id: str,
    location: str | None = None,
    impersonation_chain: str | Sequence[str] | None = None,
) -> Client:
    """Make a client from a connection, whose project pays for the jobs; tables can be in another.

    :param gcp_conn_id: the Google Cloud connection.
    :param location: where jobs run.
    :param impersonation_chain: service account to impersonate, as in the Google provider.
    """
    from airflow.providers.google.cloud.hooks.bigquery import BigQueryHook

    hook = BigQueryHook(
        gcp_conn_id=gcp_conn_id,
        location=location,
        use_legacy_sql=False,
        impersonation_chain=impersonation_chain,
    )
    return hook.get_client(project_id=hook.project_id, location=location)
