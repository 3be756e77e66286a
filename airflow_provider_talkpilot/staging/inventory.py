"""Find our folders below the root of staging, and our files in them.

Users may keep other files there too. Files with other names, and links, are left alone.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import NamedTuple

from airflow_provider_talkpilot.compat import ObjectStoragePath
from airflow_provider_talkpilot.staging import storage
from airflow_provider_talkpilot.staging.errors import StagingError
from airflow_provider_talkpilot.staging.names import LEVELS, FileName, Folder, root_of

log = logging.getLogger(__name__)


class File(NamedTuple):
    """One of our files."""

    path: ObjectStoragePath
    name: FileName
    modified: datetime | None  # None if the storage does not tell

    def has_role(self, role: str) -> bool:
        """Whether it is a finished file of a role, such as ``part``; see :class:`FileName`."""
        return self.name.role == role and not self.name.unfinished


def find_folders(root: ObjectStoragePath) -> list[Folder]:
    """Find all our folders below the root. Log and leave out a folder that cannot be listed.

    :raises StagingError: when the root itself cannot be listed.
    """
    paths = [root]
    for shape in LEVELS:
        above, paths = paths, []
        for path in above:
            with skip_errors(strict=path is root):
                entries = storage.list_entries(path)
                paths += [
                    path / entry.name
                    for entry in entries
                    if entry.is_folder and shape.fullmatch(entry.name)
                ]
    return [folder for path in paths if (folder := Folder.parse(path))]


def find_related(own: ObjectStoragePath) -> list[Folder]:
    """Find the other folders whose details fit a folder's calls.

    They have the same connection and choices for columns, and their interval overlaps its own.
    """
    mine = Folder.parse(own)
    if mine is None:
        return []
    return [
        folder
        for folder in find_folders(root_of(own))
        if folder.shares_details_with == mine.shares_details_with
        and folder.interval.overlaps(mine.interval)
        and not folder.is_same(mine)
    ]


def list_files(folder: ObjectStoragePath) -> list[File]:
    """List our files in a folder, by name."""
    return [
        File(folder / entry.name, name, entry.modified)
        for entry in storage.list_entries(folder)
        if not entry.is_folder and (name := FileName.parse(entry.name))
    ]


def list_parts(folder: ObjectStoragePath, kind: str) -> list[ObjectStoragePath]:
    """List the finished parts of a kind, by name."""
    files = list_files(folder)
    return [file.path for file in files if file.has_role("part") and file.name.kind == kind]


@contextmanager
def skip_errors(*, strict: bool = False) -> Iterator[None]:
    """Log a :class:`StagingError` and go on after the block; if strict, raise it instead."""
    try:
        yield
    except StagingError as error:
        if strict:
            raise
        log.warning("%s It is left alone.", error)
