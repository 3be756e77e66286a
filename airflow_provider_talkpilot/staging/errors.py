"""Errors of staging; each message names the cure."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from airflow_provider_talkpilot.api.redaction import describe_error


class StagingError(Exception):
    """Staged files cannot be written or read.

    ``retryable`` is true: storage comes back, disks get freed, and staged files stay.
    """

    retryable = True


class StagingUriError(StagingError):
    """The staging URI can never work."""

    retryable = False


class ManifestError(StagingError):
    """A manifest is missing or unreadable, or its parts are not as it lists them."""

    retryable = False


class PartGoneError(ManifestError):
    """A staged file is gone. If a purge put another in its place, the next try finds that."""

    retryable = True


class ColumnChoiceError(StagingError):
    """A column cannot have its choice, or the choice is another one than before."""

    retryable = False


class TooManyRejectsError(StagingError):
    """More records failed validation than the run allows."""

    retryable = False


@contextmanager
def storage_errors(action: str, place: object) -> Iterator[None]:
    """Turn any error of a storage library into one line that names the cure.

    :param action: such as ``write``.
    :param place: the path, for the message.
    :raises StagingError: instead of any exception inside the block.
    """
    try:
        yield
    except StagingError:
        raise
    except Exception as error:  # every storage library has exceptions of its own
        raise StagingError(
            f"Cannot {action} {place} ({describe_error(error)}). Check that the staging URI "
            "exists, that its connection may read and write there, and that there is space left. "
            "What was staged before is kept, and the next try goes on from it."
        ) from error
