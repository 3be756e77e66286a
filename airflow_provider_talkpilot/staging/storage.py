"""Files on any object storage: a file is complete, or it does not exist."""

from __future__ import annotations

import io
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple, cast

import tenacity
from fsspec import AbstractFileSystem
from pydantic import TypeAdapter

from airflow_provider_talkpilot.staging.errors import (
    PartGoneError,
    StagingError,
    StagingUriError,
    storage_errors,
)
from airflow_provider_talkpilot.staging.names import unfinished_name

if TYPE_CHECKING:
    # The receiver of webhooks stores events, and runs without Airflow.
    from airflow_provider_talkpilot.compat import ObjectStoragePath

_READ_BUFFER = 1 << 20
# How much the library of a bucket reads at once; s3fs would read 50 MiB.
_READ_BLOCK = 5 << 20
# Names that the file systems of fsspec give to the time of a file's last change.
_MODIFIED = ("mtime", "LastModified", "last_modified", "updated")
_MKDIR_TRIES = 10
_LOCAL = ("file", "local")
_WEB = ("http", "https")
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*")
# Wildcards of BigQuery and of file systems, fragments, and control characters.
_NOT_IN_A_PATH = re.compile(r"[*?#\[\]\\\x00-\x1f\x7f]")

_moment = TypeAdapter(datetime).validate_python


class Entry(NamedTuple):
    """A file or a folder in a folder."""

    name: str
    is_folder: bool
    modified: datetime | None  # None if the storage does not tell


def normal_uri(uri: str, name: str = "staging URI") -> str:
    """Normalize a staging URI, so that each place has one URI.

    The result has no double slashes (BigQuery reads them as one:
    cloud.google.com/bigquery/docs/loading-data-cloud-storage) and none at the end. Its scheme is in
    small letters, and ``file`` if the URI has none.

    :param uri: ``gs://bucket/folder``, ``s3://conn_id@bucket/folder``, ``file:///folder``, or
        ``/folder``.
    :param name: its name in messages.
    :raises StagingUriError: when it is empty, or another process could read it as another place.
    """
    uri = uri.strip()
    if not uri:
        raise StagingUriError(
            "No staging URI is given: set staging_uri (for the shipped DAGs the Variable "
            "talkpilot_staging_uri), such as gs://bucket/talkpilot."
        )
    scheme, separator, rest = uri.partition("://")
    if not separator and uri.startswith("/"):
        scheme, rest = "file", uri
    scheme, (bucket, _, path) = scheme.lower(), rest.partition("/")
    folders = [folder for folder in path.split("/") if folder]
    is_local, cure = scheme in _LOCAL, ""
    if not rest or bool(bucket) == is_local or scheme in _WEB or not _SCHEME.fullmatch(scheme):
        # A relative folder is another one for every worker. The address of a bucket in a browser
        # cannot be written to.
        cure = "its shape is gs://bucket/folder, or /folder for a folder that all workers share"
    elif any(folder in (".", "..") or folder.startswith("~") for folder in folders):
        cure = "write the whole path, without ., .. and ~"
    elif _NOT_IN_A_PATH.search(rest):
        cure = "leave out *, ?, #, [, ], backslashes and control characters"
    elif bucket != bucket.strip():
        cure = "leave out the blanks around the bucket"
    elif is_local and "%" in path:
        cure = "write the folder as it is called, without %"
    if cure:
        raise StagingUriError(f"The {name} {uri!r} is malformed: {cure}.")
    if is_local:
        return f"file:///{'/'.join(folders)}"
    return f"{scheme}://{'/'.join([bucket, *folders])}"


def parse_uri(uri: str, to_path: Callable[[str], Any] | None = None) -> ObjectStoragePath:
    """Make a path from a staging URI; see :func:`normal_uri`.

    :param to_path: the class of the path; by default Airflow's, which knows connections.
    :raises StagingUriError: when the URI is malformed, or its scheme is unknown.
    """
    uri = normal_uri(uri)
    if uri.startswith(("gs:", "gcs:")):
        # Otherwise gcsfs requests the bucket's kind over gRPC at each write, which only zonal
        # buckets need. If the network blocks gRPC, it waits a minute each time.
        os.environ.setdefault("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")
    if to_path is None:
        from airflow_provider_talkpilot.compat import ObjectStoragePath

        to_path = ObjectStoragePath
    try:
        with storage_errors("use", uri):
            path: ObjectStoragePath = to_path(uri)
            _ = path.fs  # looks up the scheme's library and the connection
    except StagingError as error:
        if isinstance(error.__cause__, ValueError | ImportError):
            raise StagingUriError(
                f"The staging URI {uri!r} cannot be used ({error.__cause__}): correct it, or "
                "install the Airflow provider of its scheme."
            ) from None
        raise
    return path


def put(source: IO[bytes], target: ObjectStoragePath, **options: Any) -> None:
    """Copy an open local file, with or without a name; no reader ever sees half of it.

    :param options: options of the bucket's library.
    """
    with storage_errors("write", target):
        source.seek(0)
        if not is_local(target):
            # Without mkdir, which would create a bucket of a misspelt name.
            target.fs.put_file(f"/dev/fd/{source.fileno()}", target.path, **options)
            return
        with _appearing(target) as copy:
            shutil.copyfileobj(source, copy)


def put_text(text: str, target: ObjectStoragePath, *, durable: bool = False) -> None:
    """Write a small text file at once, in place of a file of the same name.

    :param durable: return only when the file is on the disk, so that it outlives a power failure.
    """
    with storage_errors("write", target):
        if not is_local(target):
            target.fs.pipe_file(target.path, text.encode())
            return
        with _appearing(target) as file:
            file.write(text.encode())
            if durable:
                file.flush()
                os.fsync(file.fileno())
        if durable:
            folder = os.open(Path(target.path).parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)


@contextmanager
def _appearing(target: ObjectStoragePath) -> Iterator[IO[bytes]]:
    """Open a local file to write to; it becomes ``target`` unless the block raises."""
    unfinished = Path(target.path).with_name(unfinished_name(target.name))
    with _create(unfinished) as file:
        try:
            yield file
            file.close()
            unfinished.replace(target.path)
        except BaseException:
            unfinished.unlink(missing_ok=True)
            raise


# Another task may find the folder empty and remove it at once.
@tenacity.retry(
    retry=tenacity.retry_if_exception_type(FileNotFoundError),
    stop=tenacity.stop_after_attempt(_MKDIR_TRIES),
    reraise=True,
)
def _create(path: Path) -> IO[bytes]:
    """Create a file, and its folder if that does not exist."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.open("xb")


def get_text(source: ObjectStoragePath) -> str | None:
    """Read a small text file; None if it does not exist."""
    with storage_errors("read", source):
        try:
            return cast(bytes, _fresh(source).cat_file(source.path)).decode()
        except FileNotFoundError:
            return None


def delete(path: ObjectStoragePath) -> None:
    """Delete a file, if it exists."""
    with storage_errors("delete", path), suppress(FileNotFoundError):
        path.fs.rm_file(path.path)


def list_entries(folder: ObjectStoragePath) -> list[Entry]:
    """List the files and folders in a folder, by name, but no links, which lead elsewhere."""
    with storage_errors("list", folder):
        try:
            infos = _fresh(folder).ls(folder.path, detail=True)
        except FileNotFoundError:
            return []
        entries = [
            Entry(
                str(info["name"]).rstrip("/").rpartition("/")[2],
                info["type"] == "directory",
                _modified(info),
            )
            for info in infos
            if info["type"] in ("file", "directory") and not info.get("islink")
        ]
    return sorted(entries, key=lambda entry: entry.name)


def _modified(info: dict[str, Any]) -> datetime | None:
    for name in _MODIFIED:
        if info.get(name) is not None:
            moment = _moment(info[name])
            return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return None


def remove_if_empty(folder: ObjectStoragePath) -> None:
    """Remove an empty local folder; buckets have no folders."""
    if is_local(folder):
        with suppress(OSError):  # it is not empty, or does not exist
            Path(folder.path).rmdir()


@contextmanager
def open_raw(path: ObjectStoragePath) -> Iterator[io.BufferedReader]:
    """Open a staged file for reading.

    :raises PartGoneError: when it does not exist.
    """
    try:
        with path.fs.open(path.path, "rb", block_size=_READ_BLOCK) as raw:
            yield io.BufferedReader(raw, _READ_BUFFER)
    except FileNotFoundError:
        raise PartGoneError(
            f"The staged file {path} is gone. If the next try does not find it either, run the "
            "task that staged it again."
        ) from None


def size(path: ObjectStoragePath) -> int | None:
    """Return the bytes of a stored file; None if it does not exist."""
    with storage_errors("read", path):
        try:
            return int(_fresh(path).info(path.path)["size"])
        except FileNotFoundError:
            return None


def is_local(path: ObjectStoragePath) -> bool:
    """Whether the path is on this machine's file system."""
    return path.protocol in ("", "file", "local")


def _fresh(path: ObjectStoragePath) -> AbstractFileSystem:
    """Return the path's file system without its cache of listings, for others write here too."""
    path.fs.invalidate_cache()
    return path.fs
