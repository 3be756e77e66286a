"""What is staged: our folders below the root of staging, and our files in them.

Others may keep files there too. What is not named as we name it, and what is behind a link, is none
of our business.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import NamedTuple

from airflow.providers.common.compat.sdk import ObjectStoragePath

from airflow_provider_talkpilot.api import Interval
from airflow_provider_talkpilot.api.errors import IntervalError
from airflow_provider_talkpilot.staging import storage
from airflow_provider_talkpilot.staging.errors import StagingError, StagingUriError
from airflow_provider_talkpilot.staging.manifest import Manifest

log = logging.getLogger(__name__)

# <dag_id>/<connection_id>/<agents>/<interval>, as area.py writes them.
_NAME = re.compile(r"(?!\.\.?$)[A-Za-z0-9_.-]+")
_WHOSE = "(?:all|agents-[0-9a-f]{12})(?:-selection-[0-9a-f]{12})?"
_AGENTS = re.compile(rf"{_WHOSE}(-columns-[0-9a-f]{{12}})?")
_INTERVAL = re.compile(r"[0-9T.]+Z_[0-9T.]+Z")
_LEVELS = (_NAME, _NAME, _AGENTS, _INTERVAL)

_PART = re.compile(r"(calls|details|rejects)-(\d{5,})-([0-9a-f]{16})\.jsonl(\.gz)?")
_MANIFEST = re.compile(r"(calls|details)-(manifest|loaded)-[0-9a-f]{16}\.json")
_CHECKPOINT = re.compile(r"(calls|details)-checkpoint\.json")
_UNFINISHED = re.compile(r"\.(.+)\.[0-9a-f]{8}")


class Folder(NamedTuple):
    """Where the work of one interval stages."""

    path: ObjectStoragePath
    interval: Interval

    def is_same(self, other: Folder) -> bool:
        """Whether both are one folder, however its URI was written."""
        return bool(self.path.path == other.path.path)


class File(NamedTuple):
    """One of our files.

    :param name: its name, or the one that it was to get.
    :param modified: when it was last written; None where the storage does not tell.
    :param unfinished: whether it never got its name: its writer is at work, or was killed.
    """

    path: ObjectStoragePath
    name: str
    modified: datetime | None
    unfinished: bool


class PartName(NamedTuple):
    """What the name of a part says.

    :param kind: ``calls``, ``details`` or ``rejects``.
    :param checksum: the beginning of its SHA-256.
    """

    kind: str
    number: int
    checksum: str
    compressed: bool


def find_folders(
    root: ObjectStoragePath, levels: Sequence[re.Pattern[str]] = _LEVELS
) -> list[Folder]:
    """All our folders below the root; with a warning, without those that cannot be listed.

    :param levels: what the folders are called, level by level.
    :raises StagingError: when the root itself cannot be listed.
    """
    found = [root]
    for pattern in levels:
        found = [
            place / entry.name
            for place in found
            for entry in _entries(place, strict=place is root)
            if entry.is_folder and pattern.fullmatch(entry.name)
        ]
    return [Folder(place, interval) for place in found if (interval := _interval(place.name))]


def find_related(own: Folder) -> list[Folder]:
    """The folders of other work on the same calls: the same connection and choices for columns.

    :param own: where this work stages.
    """
    connection, agents = own.path.parent.parent, own.path.parent.name
    if not (ours := _AGENTS.fullmatch(agents)):  # somebody's own place, of which we know no more
        return []
    same_choices = rf"(?:{_WHOSE})" + re.escape(ours[1] or "")
    levels = _NAME, re.compile(re.escape(connection.name)), re.compile(same_choices), _INTERVAL
    return [
        folder
        for folder in find_folders(connection.parent.parent, levels)
        if folder.interval.overlaps(own.interval) and not folder.is_same(own)
    ]


def folder_of(root: ObjectStoragePath, manifest: ObjectStoragePath) -> Folder:
    """The folder of a manifest.

    :param root: the root of staging.
    :param manifest: the manifest's path; it need not be there any more.
    :raises StagingUriError: when it is not one of ours below the root.
    """
    start = f"{root.path.rstrip('/')}/"
    *levels, name = manifest.path.removeprefix(start).split("/")
    if (
        manifest.path.startswith(start)
        and type(root.fs) is type(manifest.fs)
        and len(levels) == len(_LEVELS)
        and all(pattern.fullmatch(level) for pattern, level in zip(_LEVELS, levels, strict=True))
        and (interval := _interval(levels[-1]))
        and (found := _MANIFEST.fullmatch(name))
        and found[2] == "manifest"
    ):
        return Folder(manifest.parent, interval)
    raise StagingUriError(
        f"{manifest} is no manifest below the staging URI {root}: give the staging_uri of the task "
        "that staged it."
    )


def list_files(folder: Folder) -> list[File]:
    """Our files in a folder."""
    found = []
    for entry in storage.list_entries(folder.path):
        unfinished = _UNFINISHED.fullmatch(entry.name)
        name = unfinished[1] if unfinished else entry.name
        if not entry.is_folder and any(
            pattern.fullmatch(name) for pattern in (_PART, _MANIFEST, _CHECKPOINT)
        ):
            found.append(File(folder.path / entry.name, name, entry.modified, bool(unfinished)))
    return found


def part_name(file: File) -> PartName | None:
    """Read the name of a part; None where the file is another."""
    found = _PART.fullmatch(file.name)
    return PartName(found[1], int(found[2]), found[3], bool(found[4])) if found else None


def is_manifest(file: File) -> bool:
    """Whether a load may take it."""
    return "-manifest-" in file.name and not file.unfinished


def is_loaded(file: File) -> bool:
    """Whether it was a manifest, and its parts are being deleted."""
    return "-loaded-" in file.name and not file.unfinished


def is_checkpoint(file: File) -> bool:
    """Whether it is about unfinished work."""
    return bool(_CHECKPOINT.fullmatch(file.name)) and not file.unfinished


def read_manifests(files: list[File]) -> Iterator[tuple[File, Manifest]]:
    """Read manifests and checkpoints; those that are gone by now are left out.

    :raises ManifestError: when one cannot be read.
    """
    for file in files:
        if (text := storage.get_text(file.path)) is not None:
            yield file, Manifest.parse(text, file.path)


@contextmanager
def left_alone(*, strict: bool) -> Iterator[None]:
    """Say what cannot be read or written, and go on without it.

    :param strict: raise it instead.
    """
    try:
        yield
    except StagingError as error:
        if strict:
            raise
        log.warning("%s It is left alone.", error)


def _entries(place: ObjectStoragePath, *, strict: bool) -> Iterator[storage.Entry]:
    with left_alone(strict=strict):
        yield from storage.list_entries(place)


def _interval(name: str) -> Interval | None:
    """Read an interval as a folder's name writes it."""
    try:
        start, end = (_moment(bound) for bound in name.split("_"))
        return Interval(start, end)
    except (ValueError, IntervalError):
        return None


def _moment(text: str) -> datetime:
    shape = "%Y%m%dT%H%M%S.%fZ" if "." in text else "%Y%m%dT%H%M%SZ"
    return datetime.strptime(text, shape).replace(tzinfo=UTC)
