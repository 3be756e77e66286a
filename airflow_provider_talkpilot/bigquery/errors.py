"""What can go wrong in BigQuery."""

from __future__ import annotations


class BigQueryLoadError(Exception):
    """A load, or a query that prepares one, cannot be done or did not do what it should.

    :param message: one line, which names the cure.
    :param retryable: whether the same work can succeed later without a change by the user.
    """

    def __init__(self, message: str, *, retryable: bool = False) -> None:
        super().__init__(message)
        self.retryable = retryable
