"""Google's BigQuery client, made from an Airflow connection when a task runs.

Google's library imports pandas, which takes seconds, and Airflow parses DAG files all the time. So
this module imports the library only when a task runs.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow_provider_talkpilot.api.http.transport import certificate_hint
from airflow_provider_talkpilot.api.redaction import without_queries
from airflow_provider_talkpilot.bigquery.errors import BigQueryError, refusal_of
from airflow_provider_talkpilot.compat import (
    AirflowException,
    AirflowNotFoundException,
    explain_missing_connection,
)

if TYPE_CHECKING:
    from google.api_core.exceptions import GoogleAPICallError
    from google.cloud.bigquery import Client

# Google's library waits for each response without an end. BigQuery itself gives up after 4 minutes.
RESPONSE_SECONDS = 300.0

_RETRYABLE = {408, 409, 412, 429}
_CORRECT_CREDENTIALS = "Correct it, or the machine's default credentials."
# The fields of a Google connection that its credentials can come from.
_CREDENTIALS = ("key_path", "keyfile_dict", "credential_config_file", "key_secret_name")


@contextmanager
def bigquery_client(
    gcp_conn_id: str,
    location: str | None = None,
    impersonation_chain: str | Sequence[str] | None = None,
) -> Iterator[Client]:
    """Yield a client; inside the block, turn the exceptions of Google's libraries into one line.

    The connection's project pays for the jobs; tables can be in another project.

    :param gcp_conn_id: the Google Cloud connection.
    :param location: the client's location; by default that of the connection.
    :param impersonation_chain: service account to impersonate, as in the Google provider.
    :raises BigQueryError: instead of any other exception while the client is made, and instead
        of an exception of Google's afterwards. The message names the cure. For a failed job it does
        not repeat Google's message, which can quote a record.
    """
    from google.api_core.exceptions import GoogleAPICallError, RetryError
    from google.auth.exceptions import GoogleAuthError, TransportError
    from requests.exceptions import InvalidProxyURL, InvalidSchema, InvalidURL, RequestException

    try:
        yield _make_client(gcp_conn_id, location, impersonation_chain)
    except GoogleAPICallError as error:
        raise _response_error(error, gcp_conn_id) from None
    except (InvalidProxyURL, InvalidSchema, InvalidURL):
        raise BigQueryError(
            "The environment's settings of a proxy cannot be used for BigQuery: the shape of "
            "HTTPS_PROXY is http://proxy:3128; hosts in NO_PROXY do without."
        ) from None
    except (RetryError, RequestException, TransportError) as error:
        last = getattr(error, "cause", None)
        if isinstance(last, GoogleAPICallError):  # Google's library retried it, and then gave up
            raise _response_error(last, gcp_conn_id) from None
        line = _first_line(str(error))
        raise BigQueryError(
            f"BigQuery does not respond ({line}) Check the network.{certificate_hint(line)}",
            retryable=True,
        ) from None
    except GoogleAuthError as error:
        line = _first_line(str(error))
        # Google's words for a token from another time.
        is_clock = "iat and exp" in line
        raise BigQueryError(
            f"The Google Cloud connection {gcp_conn_id!r} has no working credentials ({line}) "
            f"{'Set the clock of this machine.' if is_clock else _CORRECT_CREDENTIALS}",
            retryable=error.retryable or is_clock,
        ) from None
    except OSError as error:
        if "CA certificate bundle" not in str(error):  # the words of the library requests
            raise
        raise BigQueryError(
            "The trusted certificates that the environment names (REQUESTS_CA_BUNDLE or "
            f"CURL_CA_BUNDLE) cannot be read: {_first_line(str(error))}"
        ) from None


def _make_client(
    gcp_conn_id: str, location: str | None, impersonation_chain: str | Sequence[str] | None
) -> Client:
    from airflow.providers.google.cloud.hooks.bigquery import BigQueryHook
    from airflow.providers.google.common.hooks.base_google import get_field
    from google.api_core.exceptions import GoogleAPICallError, RetryError
    from google.auth.exceptions import DefaultCredentialsError, GoogleAuthError, TransportError
    from requests.exceptions import RequestException

    field = "extra"  # the field of the connection that is read; empty for none
    try:
        hook = BigQueryHook(
            gcp_conn_id=gcp_conn_id,
            location=location,
            use_legacy_sql=False,
            impersonation_chain=impersonation_chain,
        )
        if not hook.extras:  # Airflow reads an extra that is no JSON as an empty one
            json.loads(hook.get_connection(gcp_conn_id).extra or "{}")
        location = location or str(get_field(hook.extras, "location") or "").strip() or None
        field = next((name for name in _CREDENTIALS if get_field(hook.extras, name)), "")
        project = str(hook.project_id or "").strip()
        field = "project"
        if not project:
            raise ValueError("no project")
        client = hook.get_client(project_id=project, location=location)
        session = client._http  # noqa: SLF001 (the library has no setting for all requests)
        session.request = partial(_request, session.request)
        return client
    except (GoogleAPICallError, RetryError, RequestException, TransportError):
        raise  # the network's fault, and not the connection's
    except AirflowNotFoundException:
        message, retryable = explain_missing_connection(
            gcp_conn_id,
            f"The Google Cloud connection {gcp_conn_id!r} does not exist: create it, or correct "
            "gcp_conn_id.",
        )
        raise BigQueryError(message, retryable=retryable) from None
    except (AirflowException, GoogleAuthError, AttributeError, LookupError, OSError, TypeError,
            ValueError) as error:  # fmt: skip
        raise BigQueryError(
            f"The Google Cloud connection {gcp_conn_id!r} {_fault_of_connection(error, field)}",
            # In a new pod of Kubernetes, the server of default credentials starts late.
            retryable=not field and isinstance(error, DefaultCredentialsError),
        ) from None


def _request(send: Callable[..., Any], *args: Any, timeout: Any = None, **options: Any) -> Any:
    """Send a request; the library sends it again if no response comes."""
    return send(*args, timeout=timeout or RESPONSE_SECONDS, **options)


def _fault_of_connection(error: Exception, field: str) -> str:
    """Describe what is wrong with a connection.

    It shows the texts of few kinds of errors, because the others' may hold keys.

    :param field: the field that was read when the error came; empty for the machine's default
        credentials.
    """
    from google.auth.exceptions import GoogleAuthError

    if field == "project":
        return "names no project, and neither do its credentials: fill in its field project."
    if isinstance(error, json.JSONDecodeError):
        reason = "it is no JSON."
    elif isinstance(error, KeyError):
        reason = f"{error} is missing."
    elif isinstance(error, OSError) and error.strerror:
        reason = f"{error.filename}: {error.strerror}."
    elif isinstance(error, AirflowException | GoogleAuthError):
        reason = _first_line(str(error.args[0] if error.args else error))
    else:
        reason = f"it cannot be read ({type(error).__name__})."
    # Google reads these two fields with the credentials; only the message tells which one it was.
    if "account's email" in str(error).lower():
        field = "impersonation_chain"
    elif "quota" in str(error).lower():
        field = "quota_project_id"
    if not field:
        return f"has no working credentials: {reason} {_CORRECT_CREDENTIALS}"
    cure = "Give it a service account's key in JSON, as the Google Cloud console gives it."
    if isinstance(error, AirflowException) or field not in _CREDENTIALS:
        cure = "Correct it."
    return f"cannot be used, because of its field {field}: {reason} {cure}"


def _response_error(error: GoogleAPICallError, gcp_conn_id: str) -> BigQueryError:
    """Describe why Google refused a request; repeat its message only if it is not about a job."""
    code = int(error.code or 500)
    refusal = refusal_of(error.errors, error.message)
    reasons = ", ".join(refusal.reasons) or type(error).__name__
    url = str(getattr(error.response, "url", "/jobs"))
    message = "" if re.search(r"/(jobs|queries)\b", url) else f" {_first_line(error.message)}"
    cure = refusal.cure or "Check the table's project and dataset, and what that connection may do."
    return BigQueryError(
        f"BigQuery responded {code} ({reasons}) to the Google Cloud connection {gcp_conn_id!r}."
        f"{message} {cure}",
        retryable=refusal.retryable
        or refusal.later
        or (not refusal.cure and (code in _RETRYABLE or code >= 500)),
    )


def _first_line(text: str) -> str:
    line = (without_queries(text).strip().splitlines() or ["no message"])[0].rstrip(" :")
    return line if line.endswith(".") else f"{line}."
