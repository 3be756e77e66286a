"""Google's BigQuery client, made from an Airflow connection when a task runs.

Google's library imports pandas, which takes seconds, and DAG files are parsed all the time. So
everything that needs the library is imported when a task runs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from airflow_provider_talkpilot.bigquery.errors import BigQueryLoadError

if TYPE_CHECKING:
    from google.cloud.bigquery import Client

_TRANSIENT = {408, 409, 412, 429}


@contextmanager
def bigquery_client(
    gcp_conn_id: str,
    location: str | None = None,
    impersonation_chain: str | Sequence[str] | None = None,
) -> Iterator[Client]:
    """Give a client; inside the block, raise what Google's libraries raise as one line.

    The connection's project pays for the jobs; tables can be in another project.

    :param gcp_conn_id: the Google Cloud connection.
    :param location: where jobs run; where the dataset is by default.
    :param impersonation_chain: service account to impersonate, as in the Google provider.
    :raises BigQueryLoadError: instead of an exception of Google's. The message names the cure. Of
        a failed job it does not repeat the reason, which can quote a record.
    """
    from airflow.providers.google.cloud.hooks.bigquery import BigQueryHook
    from google.api_core.exceptions import GoogleAPICallError, RetryError
    from google.auth.exceptions import GoogleAuthError, TransportError
    from requests.exceptions import RequestException

    try:
        hook = BigQueryHook(
            gcp_conn_id=gcp_conn_id,
            location=location,
            use_legacy_sql=False,
            impersonation_chain=impersonation_chain,
        )
        yield hook.get_client(project_id=hook.project_id, location=location)
    except GoogleAPICallError as error:
        code = int(error.code or 500)
        raise BigQueryLoadError(
            f"BigQuery responded {code}: {_first_line(error.message)} Check the table's project "
            f"and dataset, and what the Google Cloud connection {gcp_conn_id!r} may do there.",
            retryable=code in _TRANSIENT or code >= 500,
        ) from None
    except (RetryError, RequestException, TransportError) as error:
        raise BigQueryLoadError(
            f"BigQuery does not respond ({_first_line(str(error))}) Check the network.",
            retryable=True,
        ) from None
    except GoogleAuthError as error:
        raise BigQueryLoadError(
            f"The Google Cloud connection {gcp_conn_id!r} has no working credentials "
            f"({_first_line(str(error))}) Correct it, or the machine's default credentials."
        ) from None


def _first_line(text: str) -> str:
    line = (text.strip().splitlines() or ["no message"])[0].rstrip(" :")
    return line if line.endswith(".") else f"{line}."
