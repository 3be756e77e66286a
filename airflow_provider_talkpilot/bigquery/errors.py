"""What can go wrong with the warehouse, each message naming its cure."""

from __future__ import annotations


class BigQueryLoadError(Exception):
    """A load cannot be done or did not do what it should.

    :param retryable: whether the same load can succeed later without anybody changing anything.
    """

    def __init__(self, message: str, *, retryable: bool = False) -> None:
        super().__init__(message)
        self.retryable = retryable
