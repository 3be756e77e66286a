"""The names of folders and files in staging; ledger.py alone names files too, the ledger's.

docs/architecture.md, "Staging on disk", shows them. A folder depends on DAG, connection, agents and
interval, never on the run. So the next try, or another worker, finds what is staged.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Literal, NamedTuple
from uuid import uuid4

from airflow_provider_talkpilot.api import CallFilters, Interval
from airflow_provider_talkpilot.api.errors import IntervalError
from airflow_provider_talkpilot.staging.errors import StagingUriError

if TYPE_CHECKING:
    # The receiver of webhooks writes into the inbox, and runs without Airflow.
    from airflow_provider_talkpilot.compat import ObjectStoragePath

Kind = Literal["calls", "details", "performance"]

INBOX = "inbox"
"""The folder below the root for the events of webhooks."""
QUOTA = "_quota"
"""The folder below the root for the ledgers of connections."""
CHECK_FILE = "_check"
"""The file below the root that the command ``check`` writes and deletes."""
# No DAG stages under these names.
_TAKEN = (INBOX, QUOTA, CHECK_FILE, ".", "..")

_NAME = re.compile(r"(?!\.\.?$)[A-Za-z0-9_.-]+")
_AGENTS = re.compile(
    r"(?:all|agents-[0-9a-f]{12})(?:-selection-[0-9a-f]{12})?"
    r"(?P<columns>-columns-[0-9a-f]{12})?"
)
_INTERVAL = re.compile(r"[0-9T.]+Z_[0-9T.]+Z")
_DAG = re.compile(rf"(?!({INBOX}|{QUOTA})$){_NAME.pattern}")
LEVELS = (_DAG, _NAME, _AGENTS, _INTERVAL)
"""The shapes of the folders below the root: DAG, connection, agents, interval."""

_PART = re.compile(r"(calls|details|performance|rejects)-(\d{5,})-([0-9a-f]{16})\.jsonl")
_MANIFEST = re.compile(
    r"(calls|details|performance)-(?:(checkpoint)|(manifest|loaded)-([0-9a-f]{16}))\.json"
)
_UNFINISHED = re.compile(r"\.(.+)\.[0-9a-f]{8}")
_EVENT = re.compile(r"(.+)-([0-9a-f]{16})\.json")
# A call's id that can be a file's name on any storage. Any other id is replaced by its digest.
_CALL_ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]{0,127}")
_DIGITS = 16


@dataclass(frozen=True)
class Folder:
    """A folder in which the work on one interval stages.

    :param path: ``<staging URI>/<dag>/<connection>/<agents>/<interval>``.
    :param interval: the interval.
    """

    path: ObjectStoragePath
    interval: Interval

    @classmethod
    def parse(cls, path: ObjectStoragePath) -> Folder | None:
        """Parse the path of a folder; None if it is not one of ours."""
        levels = path, path.parent, path.parent.parent, path.parent.parent.parent
        names = [level.name for level in reversed(levels)]
        if not all(shape.fullmatch(name) for shape, name in zip(LEVELS, names, strict=True)):
            return None
        try:
            start, end = (_moment(bound) for bound in path.name.split("_"))
            return cls(path, Interval(start, end))
        except (ValueError, IntervalError):
            return None

    @classmethod
    def of_manifest(cls, path: ObjectStoragePath, root: ObjectStoragePath) -> Folder:
        """Return the folder of a manifest, which may be deleted already.

        :raises StagingUriError: when the path is no manifest of ours below the root of staging.
        """
        folder, name = cls.parse(path.parent), FileName.parse(path.name)
        if (
            folder
            and (name and name.role == "manifest")
            and type(path.fs) is type(root.fs)
            and root_of(folder.path).path == root.path
        ):
            return folder
        raise StagingUriError(
            f"{path} is no manifest below the staging URI {root}: give the staging_uri of the task "
            "that staged it."
        )

    @property
    def shares_details_with(self) -> tuple[str, str]:
        """The connection and the choices' digest: folders with the same can share details."""
        return connection_of(self.path), columns_of(self.path)

    def is_same(self, other: Folder) -> bool:
        """Whether both are the same folder, however their URIs were written."""
        return bool(self.path.path == other.path.path)


class FileName(NamedTuple):
    """The name of a staged file; as a text it is the name itself.

    :param role: ``part``, ``manifest``, ``loaded`` or ``checkpoint``.
    :param kind: ``calls``, ``details`` or ``performance``, of a part also ``rejects``.
    :param checksum: hex SHA-256 of a part, or digest of a manifest; the name has its beginning.
    :param number: the number of a part.
    :param unfinished: whether a task still writes the file, or was killed while it did.
    """

    role: str
    kind: str
    checksum: str = ""
    number: int = 0
    unfinished: bool = False

    @classmethod
    def parse(cls, name: str) -> FileName | None:
        """Parse the name of a file; None if it is not one of ours."""
        unfinished = _UNFINISHED.fullmatch(name)
        final = unfinished[1] if unfinished else name
        if part := _PART.fullmatch(final):
            kind, number, checksum = part.groups()
            return cls("part", kind, checksum, int(number), bool(unfinished))
        if manifest := _MANIFEST.fullmatch(final):
            kind, checkpoint, role, checksum = manifest.groups()
            return cls(checkpoint or role, kind, checksum or "", unfinished=bool(unfinished))
        return None

    def __str__(self) -> str:
        beginning = self.checksum[:_DIGITS]
        if self.role == "part":
            return f"{self.kind}-{self.number:05d}-{beginning}.jsonl"
        return "-".join(filter(None, (self.kind, self.role, beginning))) + ".json"


class EventName(NamedTuple):
    """The name of an event in the inbox; as a text it is the name itself.

    :param call: :func:`call_name` of the call.
    :param digest: the beginning of the event's digest.
    """

    call: str
    digest: str

    @classmethod
    def parse(cls, name: str) -> EventName | None:
        """Parse the name of a file, also of an unfinished one; None if it is not one of ours."""
        unfinished = _UNFINISHED.fullmatch(name)
        event = _EVENT.fullmatch(unfinished[1] if unfinished else name)
        return cls(*event.groups()) if event else None

    @property
    def has_call_id(self) -> bool:
        """Whether ``call`` is the ``call_id`` itself."""
        return _CALL_ID.fullmatch(self.call) is not None

    def __str__(self) -> str:
        return f"{self.call}-{self.digest[:_DIGITS]}.json"


def call_name(call_id: str) -> str:
    """Return a ``call_id`` as a part of a file's name: itself if it can be one, else its digest."""
    return call_id if _CALL_ID.fullmatch(call_id) else f"sha256~{_digest(call_id)}"


def inbox_folder(root: ObjectStoragePath, agent_id: str, day: date) -> ObjectStoragePath:
    """Name the folder of the events of an agent's calls that started on a day (UTC).

    :param agent_id: a UUID in small letters.
    """
    return root.joinpath(INBOX, agent_id, day.isoformat())


def unfinished_name(name: str) -> str:
    """Name a local file while it is being written."""
    return f".{name}.{uuid4().hex[:8]}"


def interval_folder(
    root: ObjectStoragePath,
    *,
    dag_id: str,
    connection_id: str,
    agent_ids: Sequence[str] | None,
    filters: CallFilters,
    interval: Interval,
    columns: Mapping[str, str] | None = None,
    api_key: str = "",
) -> ObjectStoragePath:
    """Name the folder of one piece of work below the root; nothing is created.

    :param agent_ids: the agents that the run names; None for all of the key.
    :param columns: the recorded choices for columns; other choices have another folder.
    :param api_key: the connection's, with which the values of filters are hashed.
    """
    scope = scope_name(connection_id, agent_ids, filters, columns, api_key)
    bounds = f"{_compact(interval.start)}_{_compact(interval.end)}"
    return root / _safe(dag_id) / scope / bounds


def scope_name(
    connection_id: str,
    agent_ids: Sequence[str] | None,
    filters: CallFilters | None = None,
    columns: Mapping[str, str] | None = None,
    api_key: str = "",
) -> str:
    """Name the scope of a run: runs of one scope over one interval do the same work.

    :return: ``<connection>/<agents>``.
    """
    agents = "all" if agent_ids is None else f"agents-{_digest(*sorted(agent_ids))}"
    if filters and (active := filters.active()):
        # No path may have a caller's number, which could be found from a digest without a key.
        values = "\n".join(f"{name}={value}" for name, value in sorted(active.items()))
        digest = hmac.new(api_key.encode(), values.encode(), "sha256").hexdigest()
        agents += f"-selection-{digest[:12]}"
    if columns:
        agents += f"-columns-{_digest(*(f'{k}={v}' for k, v in sorted(columns.items())))}"
    return f"{_safe(connection_id)}/{agents}"


def scope_of(folder: ObjectStoragePath) -> str:
    """Return the :func:`scope_name` of a folder of :func:`interval_folder`."""
    return f"{connection_of(folder)}/{folder.parent.name}"


def ledger_folder(root: ObjectStoragePath, connection_id: str) -> ObjectStoragePath:
    """Name the folder of a connection's ledger; nothing is created."""
    return root / QUOTA / _safe(connection_id)


def root_of(folder: ObjectStoragePath) -> ObjectStoragePath:
    """Return the root of staging above a folder of :func:`interval_folder`."""
    return folder.parent.parent.parent.parent


def connection_of(folder: ObjectStoragePath) -> str:
    """Return the connection of a folder of :func:`interval_folder`."""
    return str(folder.parent.parent.name)


def columns_of(folder: ObjectStoragePath) -> str:
    """Return the digest of the choices for columns of a folder; empty if all are kept."""
    agents = _AGENTS.fullmatch(folder.parent.name)
    return (agents and agents["columns"]) or ""


def public_name(folder: ObjectStoragePath) -> str:
    """Return the URI above a folder of :func:`interval_folder`, in a form that may be published.

    It lacks the digest of a selection, which another API key changes.
    """
    agents = folder.parent
    name = re.sub(r"-selection-[0-9a-f]{12}", "-selection", agents.name)
    return str(agents.parent / name)


def _digest(*texts: str) -> str:
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:12]


def _safe(name: str) -> str:
    """Make a folder's name; a digest keeps names apart that would look alike."""
    safe = re.sub(r"[^A-Za-z0-9_.-]", "-", name)
    return safe if safe == name and name not in _TAKEN else f"{safe}-{_digest(name)}"


def _compact(moment: datetime) -> str:
    return moment.strftime("%Y%m%dT%H%M%S") + (f".{moment:%f}" if moment.microsecond else "") + "Z"


def _moment(text: str) -> datetime:
    shape = "%Y%m%dT%H%M%S.%fZ" if "." in text else "%Y%m%dT%H%M%SZ"
    return datetime.strptime(text, shape).replace(tzinfo=UTC)
