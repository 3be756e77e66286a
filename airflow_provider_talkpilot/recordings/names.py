"""The names of all recordings in the archive: no other module makes them or reads them.

::

    <recordings URI>/<agent id>/<YYYY>/<MM>/<DD>/<call id>.<extension by media type>

The day is that of the call's start in UTC. So a recording can be found from its call alone, without
the table.
"""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import UTC, datetime

from airflow_provider_talkpilot.api.models import read_uuid
from airflow_provider_talkpilot.compat import ObjectStoragePath

# Media types whose files have another extension than the type's own name, and video. Of several
# types with one extension, the first is what the extension stands for.
_EXTENSIONS = {
    "audio/mpeg": "mp3",
    "audio/mp4": "m4a",
    "audio/x-m4a": "m4a",
    "audio/wav": "wav",
    "audio/vnd.wave": "wav",
    "audio/wave": "wav",
    "audio/x-pn-wav": "wav",
    "video/mp4": "mp4",
    "video/quicktime": "mov",
    "video/x-matroska": "mkv",
}
_TYPES = {extension: media_type for media_type, extension in reversed(_EXTENSIONS.items())}
_FOLDER = re.compile(r".+/[^/]+/\d{4}/\d\d/\d\d")
_SCHEMES = {"gcs": "gs", "s3a": "s3", "s3n": "s3", "local": "file", "": "file"}


def day_folder(agent_id: str | None, created_at: datetime) -> str:
    """Name the folder of a call's recording, below the root.

    :param agent_id: the agent that took the call.
    :param created_at: when the call started.
    """
    return f"{agent_id}/{created_at.astimezone(UTC):%Y/%m/%d}"


def call_of(name: str) -> str | None:
    """Read the call's id in the name of a recording; None for the name of any other file."""
    call_id, _, _ = name.partition(".")
    with suppress(ValueError):
        return call_id if read_uuid(call_id) == call_id else None
    return None


def extension_of(media_type: str) -> str:
    """Return the extension of files of a media type, without the dot."""
    subtype = media_type.partition("/")[2].removeprefix("x-")
    return _EXTENSIONS.get(media_type) or re.sub(r"[^a-z0-9]", "", subtype)


def type_of(name: str) -> str:
    """Return the media type that a recording's name stands for."""
    extension = name.rpartition(".")[2]
    return _TYPES.get(extension, f"audio/{extension}")


def uri_of(path: ObjectStoragePath) -> str:
    """Return the URI of an object as BigQuery's object tables have it: without a connection."""
    scheme = scheme_of(path)
    return f"{scheme}://{path.path if scheme == 'file' else path.path.lstrip('/')}"


def scheme_of(path: ObjectStoragePath) -> str:
    """Return the usual scheme of a path's storage: ``gs``, not ``gcs``."""
    return _SCHEMES.get(path.protocol, path.protocol)


def folder_of(uri: str, call_id: str) -> str | None:
    """Return the URI of the folder of a recording; None where the archive makes no such URI.

    The folder may be that of another agent or day: a call can move after it was archived.

    :param uri: what the table has.
    """
    folder, _, name = uri.rpartition("/")
    return folder if call_of(name) == call_id and _FOLDER.fullmatch(folder) else None
