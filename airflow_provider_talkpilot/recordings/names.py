"""The names of all recordings in the archive: no other module makes them or reads them.

::

    <recordings URI>/<agent id>/<YYYY>/<MM>/<DD>/<call id>.<extension by media type>

The day is that of the call's start in UTC. So where a recording is follows from its call, and what
is there is found without the table.
"""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import UTC, datetime
from typing import Protocol

from airflow_provider_talkpilot.api.models import read_uuid
from airflow_provider_talkpilot.compat import ObjectStoragePath

# Of media types whose files are not called like them.
_EXTENSIONS = {
    "audio/mpeg": "mp3",
    "audio/mp4": "m4a",
    "audio/x-m4a": "m4a",
    "audio/vnd.wave": "wav",
    "audio/wave": "wav",
    "audio/x-pn-wav": "wav",
    "video/quicktime": "mov",
    "video/x-matroska": "mkv",
}
_TYPES = {"mp3": "audio/mpeg", "m4a": "audio/mp4", "mp4": "video/mp4"}
_TYPES |= {"mov": "video/quicktime", "mkv": "video/x-matroska"}
_SCHEMES = {"gcs": "gs", "s3a": "s3", "s3n": "s3", "local": "file", "": "file"}


class Recorded(Protocol):
    """What the name of a call's recording follows from."""

    @property
    def id(self) -> str:
        """The call's UUID."""

    @property
    def agent_id(self) -> str | None:
        """The agent's UUID."""

    @property
    def created_at(self) -> datetime:
        """When the call started."""


def day_of(call: Recorded) -> str:
    """Name the folder of a call's recording, below the root."""
    return f"{call.agent_id}/{call.created_at.astimezone(UTC):%Y/%m/%d}"


def call_of(name: str) -> str | None:
    """Read the call's id in the name of a recording; None where it is none, or not whole yet."""
    call_id, _, _ = name.partition(".")
    with suppress(ValueError):
        return call_id if read_uuid(call_id) == call_id else None
    return None


def extension_of(media_type: str) -> str:
    """What a file of a media type is called, without the dot."""
    subtype = media_type.partition("/")[2].removeprefix("x-")
    return _EXTENSIONS.get(media_type) or re.sub(r"[^a-z0-9]", "", subtype)


def type_of(name: str) -> str:
    """The media type that a recording's name stands for."""
    extension = name.rpartition(".")[2]
    return _TYPES.get(extension, f"audio/{extension}")


def uri_of(path: ObjectStoragePath) -> str:
    """The URI of an object as BigQuery's object tables have it, without Airflow's connection."""
    scheme = scheme_of(path)
    return f"{scheme}://{path.path if scheme == 'file' else path.path.lstrip('/')}"


def scheme_of(path: ObjectStoragePath) -> str:
    """The one name of a storage that has several: ``gs``, ``s3``, ``file``."""
    return _SCHEMES.get(path.protocol, path.protocol)


def parent_of(uri: str, call: Recorded) -> str | None:
    """The folder of a recording that the table names; None where the URI is not of our making."""
    folder, _, name = uri.rpartition("/")
    return folder if call_of(name) == call.id and folder.endswith(f"/{day_of(call)}") else None
