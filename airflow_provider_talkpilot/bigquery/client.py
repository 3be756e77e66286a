"""Google's BigQuery client, made from an Airflow connection when a task runs.

Google's library imports pandas, which takes seconds, and DAG files are parsed all the time. So
everything that needs the library is imported when a task runs.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from airflow_provider_talkpilot.api.http.transport import certificate_hint
from airflow_provider_talkpilot.bigquery.errors import BigQueryLoadError, cause_of
from airflow_provider_talkpilot.compat import (
    AirflowException,
    AirflowNotFoundException,
    unread_connection,
)

if TYPE_CHECKING:
    from google.api_core.exceptions import GoogleAPICallError
    from google.cloud.bigquery import Client

_TRANSIENT = {408, 409, 412, 429}
_CORRECT = "Correct it, or the machine's default credentials."
# The fields of a Google connection that its credentials can come from.
_CREDENTIALS = ("key_path", "keyfile_dict", "credential_config_file", "key_secret_name")


@contextmanager
def bigquery_client(
    gcp_conn_id: str,
    location: str | None = None,
    impersonation_chain: str | Sequence[str] | None = None,
) -> Iterator[Client]:
    """Give a client; inside the block, raise what Google's libraries raise as one line.

    The connection's project pays for the jobs; tables can be in another project.

    :param gcp_conn_id: the Google Cloud connection.
    :param location: the client's location; by default what the connection's field says.
    :param impersonation_chain: service account to impersonate, as in the Google provider.
    :raises BigQueryLoadError: instead of any other exception while the client is made, and instead
        of an exception of Google's afterwards. The message names the cure. Of a failed job it does
        not repeat Google's message, which can quote a record.
    """
    from google.api_core.exceptions import GoogleAPICallError, RetryError
    from google.auth.exceptions import GoogleAuthError, TransportError
    from requests.exceptions import InvalidProxyURL, InvalidSchema, InvalidURL, RequestException

    try:
        yield _client(gcp_conn_id, location, impersonation_chain)
    except GoogleAPICallError as error:
        raise _refused(error, gcp_conn_id) from None
    except (InvalidProxyURL, InvalidSchema, InvalidURL):
        raise BigQueryLoadError(
            "The environment's settings of a proxy cannot be used for BigQuery: the shape of "
            "HTTPS_PROXY is http://proxy:3128; hosts in NO_PROXY do without."
        ) from None
    except (RetryError, RequestException, TransportError) as error:
        last = getattr(error, "cause", None)
        if isinstance(last, GoogleAPICallError):  # so it was for as long as Google's library tries
            raise _refused(last, gcp_conn_id) from None
        said = _first_line(str(error))
        raise BigQueryLoadError(
            f"BigQuery does not respond ({said}) Check the network.{certificate_hint(said)}",
            retryable=True,
        ) from None
    except GoogleAuthError as error:
        said = _first_line(str(error))
        # So Google says that a token comes from another time.
        is_clock = "iat and exp" in said
        raise BigQueryLoadError(
            f"The Google Cloud connection {gcp_conn_id!r} has no working credentials ({said}) "
            f"{'Set the clock of this machine.' if is_clock else _CORRECT}",
            retryable=error.retryable or is_clock,
        ) from None
    except OSError as error:
        if "CA certificate bundle" not in str(error):  # so the library requests tells of one
            raise
        raise BigQueryLoadError(
            "The trusted certificates that the environment names (REQUESTS_CA_BUNDLE or "
            f"CURL_CA_BUNDLE) cannot be read: {_first_line(str(error))}"
        ) from None


def _client(
    gcp_conn_id: str, location: str | None, impersonation_chain: str | Sequence[str] | None
) -> Client:
    from airflow.providers.google.cloud.hooks.bigquery import BigQueryHook
    from airflow.providers.google.common.hooks.base_google import get_field
    from google.api_core.exceptions import GoogleAPICallError, RetryError
    from google.auth.exceptions import GoogleAuthError, TransportError
    from requests.exceptions import RequestException

    field = "extra"
    try:
        hook = BigQueryHook(
            gcp_conn_id=gcp_conn_id,
            location=location,
            use_legacy_sql=False,
            impersonation_chain=impersonation_chain,
        )
        if not hook.extras:  # so Airflow reads what is no JSON
            json.loads(hook.get_connection(gcp_conn_id).extra or "{}")
        location = location or str(get_field(hook.extras, "location") or "").strip() or None
        given = [name for name in _CREDENTIALS if get_field(hook.extras, name)]
        field = given[0] if given else ""
        project = str(hook.project_id or "").strip()
        field = "project"
        if not project:
            raise ValueError("no project")
        return hook.get_client(project_id=project, location=location)
    except (GoogleAPICallError, RetryError, RequestException, TransportError):
        raise  # the network's fault, and not the connection's
    except AirflowNotFoundException:
        if unread := unread_connection(gcp_conn_id):
            raise BigQueryLoadError(unread) from None
        fault = "does not exist: create it, or correct gcp_conn_id."
    except (AirflowException, GoogleAuthError, AttributeError, LookupError, OSError, TypeError,
            ValueError) as error:  # fmt: skip
        fault = _fault(error, field)
    raise BigQueryLoadError(f"The Google Cloud connection {gcp_conn_id!r} {fault}")


def _fault(error: Exception, field: str) -> str:
    """What is wrong with a connection; other errors' texts are not shown, for they may hold keys.

    :param field: what was read when it happened; empty for the machine's default credentials.
    """
    from google.auth.exceptions import GoogleAuthError

    if field == "project":
        return "names no project, and neither do its credentials: fill in its field project."
    if isinstance(error, json.JSONDecodeError):
        said = "it is no JSON."
    elif isinstance(error, KeyError):
        said = f"{error} is missing."
    elif isinstance(error, OSError) and error.strerror:
        said = f"{error.filename}: {error.strerror}."
    elif isinstance(error, AirflowException | GoogleAuthError):
        said = _first_line(str(error.args[0] if error.args else error))
    else:
        said = f"it cannot be read ({type(error).__name__})."
    for name, sign in {
        "impersonation_chain": "account's email",
        "quota_project_id": "quota",
    }.items():
        field = name if sign in str(error).lower() else field
    if not field:
        return f"has no working credentials: {said} {_CORRECT}"
    cure = "Give it a service account's key in JSON, as the Google Cloud console gives it."
    if isinstance(error, AirflowException) or field not in _CREDENTIALS:
        cure = "Correct it."
    return f"cannot be used, because of its field {field}: {said} {cure}"


def _refused(error: GoogleAPICallError, gcp_conn_id: str) -> BigQueryLoadError:
    """What a response of Google's says: why, and of what is no job, in its own words."""
    code = int(error.code or 500)
    cause = cause_of(error.errors, error.message)
    reasons = ", ".join(cause.reasons) or type(error).__name__
    address = str(getattr(error.response, "url", "/jobs"))
    said = "" if re.search(r"/(jobs|queries)\b", address) else f" {_first_line(error.message)}"
    cure = cause.cure or "Check the table's project and dataset, and what that connection may do."
    return BigQueryLoadError(
        f"BigQuery responded {code} ({reasons}) to the Google Cloud connection {gcp_conn_id!r}."
        f"{said} {cure}",
        retryable=cause.is_passing or (not cause.cure and (code in _TRANSIENT or code >= 500)),
    )


def _first_line(text: str) -> str:
    line = (text.strip().splitlines() or ["no message"])[0].rstrip(" :")
    return line if line.endswith(".") else f"{line}."
