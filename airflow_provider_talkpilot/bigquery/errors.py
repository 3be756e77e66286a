"""What can go wrong with the warehouse, each message naming its cure."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from google.api_core.exceptions import GoogleAPICallError, RetryError
from google.auth.exceptions import GoogleAuthError, TransportError
from requests.exceptions import RequestException

_TRANSIENT = {408, 409, 412, 429}


class BigQueryLoadError(Exception):
    """A load cannot be done or did not do what it should.

    :param retryable: whether the same load can succeed later without anybody changing anything.
    """

    def __init__(self, message: str, *, retryable: bool = False) -> None:
        super().__init__(message)
        self.retryable = retryable


@contextmanager
def bigquery_errors(connection_id: str) -> Iterator[None]:
    """Turn what Google's libraries raise into one line that names the cure.

    What a job says about its rows is not repeated here: jobs have errors of their own.

    :param connection_id: the Google Cloud connection.
    :raises BigQueryLoadError: instead of any exception of theirs inside the block.
    """
    try:
        yield
    except GoogleAPICallError as error:
        code = int(error.code or 500)
        raise BigQueryLoadError(
            f"BigQuery answered {code}: {_first_line(error.message)} Check the table's project and "
            f"dataset, and what the Google Cloud connection {connection_id!r} may do there.",
            retryable=code in _TRANSIENT or code >= 500,
        ) from None
    except (RetryError, RequestException, TransportError) as error:
        raise BigQueryLoadError(
            f"BigQuery does not answer ({_first_line(str(error))}) Check the network.",
            retryable=True,
        ) from None
    except GoogleAuthError as error:
        raise BigQueryLoadError(
            f"The Google Cloud connection {connection_id!r} has no working credentials "
            f"({_first_line(str(error))}) Correct it, or the machine's default credentials."
        ) from None


def _first_line(text: str) -> str:
    line = (text.strip().splitlines() or ["no message"])[0].rstrip(" :")
    return line if line.endswith(".") else f"{line}."
