"""Manifests: each lists what one task staged.

A load reads only what a manifest lists. A checkpoint is the manifest of unfinished work, under
another name: the next try goes on from it.
"""

from __future__ import annotations

import hashlib
from contextlib import suppress
from datetime import UTC, date, datetime
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from airflow_provider_talkpilot.api import Interval
from airflow_provider_talkpilot.compat import ObjectStoragePath
from airflow_provider_talkpilot.staging import storage
from airflow_provider_talkpilot.staging.errors import (
    ManifestError,
    PartGoneError,
    TooManyRejectsError,
)
from airflow_provider_talkpilot.staging.names import FileName, Kind
from airflow_provider_talkpilot.staging.parts import Part


class DayCount(BaseModel):
    """How many calls of one day were staged, and how many of them TalkPilot has purged."""

    calls: int = 0
    purged: int = 0


class WalkedAgent(BaseModel):
    """The whole walk of one agent; of a long list, the slices walked so far.

    :param agent_id: the agent.
    :param calls: how many calls of the interval were staged.
    :param rejected: how many records failed validation.
    :param walks: how many walks it took until one was whole; of slices, the most of one slice.
    :param began_at: when the whole walk began; of slices, that of the first. A call that was read
        before this moment, and is not in this walk, is gone from the API.
    :param ended_at: when the whole walk ended; of slices, that of the last.
    :param until: the end of the last slice that was walked, if others are left.
    """

    agent_id: str
    calls: int
    rejected: int = 0
    walks: int = 1
    began_at: datetime
    ended_at: datetime
    until: datetime | None = None

    def joined(self, later: WalkedAgent) -> WalkedAgent:
        """Join this walk with the walk of the next slice."""
        return later.model_copy(
            update={
                "calls": self.calls + later.calls,
                "rejected": self.rejected + later.rejected,
                "walks": max(self.walks, later.walks),
                "began_at": self.began_at,
            }
        )


class Manifest(BaseModel):
    """What all manifests have in common.

    :param kind: ``calls`` (list rows), ``details`` or ``performance``.
    :param start: first moment of the interval.
    :param end: first moment after the interval.
    :param selection: names of the filters in use; with any, this is not the whole interval.
    :param columns: the choices for columns: ``drop``, or ``hash-<fingerprint of the secret>``.
    :param parts: the files with rows, in order.
    :param drift: how many values did not fit their column, by column.
    :param rejects: the files with records that failed validation.
    :param reject_reason: why the first record failed, without its values.
    :param requests: API requests spent, by kind; retries and refusals included.
    :param started_at: when the work began, before any interruption.
    :param worked_at: when a task last saved this as a checkpoint.
    """

    model_config = ConfigDict(extra="forbid")

    version: Literal[1] = 1
    kind: Kind
    start: datetime
    end: datetime
    selection: list[str] = Field(default_factory=list)
    columns: dict[str, str] = Field(default_factory=dict)
    parts: list[Part] = Field(default_factory=list)
    drift: dict[str, int] = Field(default_factory=dict)
    rejects: list[Part] = Field(default_factory=list)
    reject_reason: str = ""
    requests: dict[str, int] = Field(default_factory=dict)
    started_at: datetime
    worked_at: datetime | None = None

    @property
    def interval(self) -> Interval:
        return Interval(self.start, self.end)

    @property
    def is_whole_interval(self) -> bool:
        """Whether it lists all calls of its interval, so that a call that it lacks is gone."""
        return self.kind == "calls" and not self.selection

    @property
    def rows(self) -> int:
        return sum(part.rows for part in self.parts)

    @property
    def rejected(self) -> int:
        return sum(part.rows for part in self.rejects)

    @property
    def digest(self) -> str:
        """SHA-256 of the manifest in hex."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()

    def require_rejects_within(self, allowed: int, folder: ObjectStoragePath) -> None:
        """Raise :class:`TooManyRejectsError` if more records than allowed failed validation."""
        if self.rejected > allowed:
            names = ", ".join(str(folder / part.name) for part in self.rejects)
            raise TooManyRejectsError(
                f"{self.rejected} record(s) of {self.interval} failed validation, {allowed} "
                f"allowed; the first: {self.reject_reason}. They are kept, with the reason of "
                f"each, in {names}. Report them to TalkPilot, or allow them with max_rejects."
            )

    def has_all_files(self, folder: ObjectStoragePath) -> bool:
        """Whether all files are stored, each in the size that was staged."""
        staged = (*self.parts, *self.rejects)
        return all(storage.size(folder / part.name) == part.bytes for part in staged)

    def require_parts(self, folder: ObjectStoragePath) -> None:
        """Raise :class:`ManifestError` if a part is missing or has another size."""
        for part in self.parts:
            size = storage.size(folder / part.name)
            if size != part.bytes:
                error = PartGoneError if size is None else ManifestError
                raise error(
                    f"The part {folder / part.name} is not what its manifest says "
                    f"({'gone' if size is None else f'{size} bytes'}, not {part.bytes}). If the "
                    "next try finds the same, run the task that staged it again."
                )

    def save(self, folder: ObjectStoragePath) -> ObjectStoragePath:
        """Write it under a name with its digest, then delete the checkpoint; return its path.

        In this order, one of the two exists at any moment.

        :raises PartGoneError: when another run has deleted or rewritten a part. Before that run
            deletes one, it looks for manifests that name it, so this looks after it has written.
        """
        path = folder / str(FileName("manifest", self.kind, self.digest))
        storage.put_text(self.model_dump_json(), path)
        try:
            if not self.has_all_files(folder):
                raise PartGoneError(
                    f"Parts of {self.interval} were deleted while the rest was staged: calls in "
                    "them were purged, or another run has loaded them. The next try stages them "
                    "again."
                )
        except BaseException:  # a manifest that no task returns would keep its parts from cleans
            storage.delete(path)
            raise
        delete_checkpoint(folder, self.kind)
        return path

    def save_checkpoint(self, folder: ObjectStoragePath) -> None:
        """Write it as unfinished work, in place of the last checkpoint."""
        self.worked_at = datetime.now(UTC)
        storage.put_text(self.model_dump_json(), _checkpoint_path(folder, self.kind))

    def replace_part(self, name: str, new: Part | None) -> bool:
        """Put a part in the place of another one; None if no row is left.

        :return: whether the manifest lists the part that is replaced.
        """
        for parts in (self.parts, self.rejects):
            for position, part in enumerate(parts):
                if part.name == name:
                    parts[position : position + 1] = [new] if new else []
                    return True
        return False


class ListManifest(Manifest):
    """What an extraction staged: list rows of calls, or performance records.

    :param agents: the walks, one an agent; none if the key may not read performance records.
    :param days: how many calls were staged, by UTC day of ``created_at``.
    :param listed: rows of the table of agents; none if the run names its agents.
    :param walk_pages: the most pages of one walk: a longer list is walked in slices.
    """

    kind: Literal["calls", "performance"] = "calls"
    agents: list[WalkedAgent] = Field(default_factory=list)
    days: dict[date, DayCount] = Field(default_factory=dict)
    listed: list[dict[str, Any]] = Field(default_factory=list)
    walk_pages: int = 0

    @classmethod
    def load(cls, path: ObjectStoragePath) -> Self:
        """Read a manifest of calls; otherwise as :func:`load_manifest`."""
        manifest = load_manifest(path)
        if not isinstance(manifest, cls) or manifest.kind != "calls":
            raise ManifestError(f"{path} is no manifest of calls: give that of an extract task.")
        return manifest

    @property
    def agent_count(self) -> int:
        return len(self.agents)

    @property
    def half_walked(self) -> WalkedAgent | None:
        """The walk with slices left; only the last one of a checkpoint can have some."""
        return self.agents[-1] if self.agents and self.agents[-1].until else None

    @property
    def agent_names(self) -> dict[str, str]:
        """Names of agents by id, as far as they are known."""
        return {row["id"]: row["name"] for row in self.listed if row["name"]}

    @property
    def began_at(self) -> datetime:
        """When the first walk began. Rows read later cannot prove that a call is gone."""
        return min((walked.began_at for walked in self.agents), default=self.started_at)

    @property
    def ended_at(self) -> datetime:
        """When the last walk ended."""
        return max((walked.ended_at for walked in self.agents), default=self.started_at)


class DetailsManifest(Manifest):
    """What an enrichment staged: details, those of earlier tries included.

    :param agent_count: how many agents the calls belong to.
    :param fetched: how many details were requested, interrupted tries included.
    :param by_webhook: how many details came from the inbox instead.
    :param vanished: how many calls were in the list, and had no detail any more.
    :param lacking: how many calls lack a detail that was not requested: no webhook brought it.
    :param recordings: how many recordings have each status, interrupted tries included.
    :param inbox_read_at: the details need no event that came to the inbox before this moment; None
        if the inbox could not be read.
    """

    kind: Literal["details"] = "details"
    agent_count: int = 0
    fetched: int = 0
    by_webhook: int = 0
    vanished: int = 0
    lacking: int = 0
    recordings: dict[str, int] = {}
    inbox_read_at: datetime | None = None


AnyManifest = ListManifest | DetailsManifest
_FILE: TypeAdapter[AnyManifest] = TypeAdapter(Annotated[AnyManifest, Field(discriminator="kind")])


def load_manifest(path: ObjectStoragePath) -> AnyManifest:
    """Read a manifest of any kind.

    :raises ManifestError: when the file does not exist, or is no manifest.
    """
    name = FileName.parse(path.name)
    is_checkpoint = name is not None and name.role == "checkpoint"
    manifest = None if is_checkpoint else read_manifest(path)
    if manifest is None:
        raise ManifestError(
            f"There is no manifest at {path}: nothing complete is staged there. Run the task "
            "that stages (extract or enrich) again."
        )
    return manifest


def load_checkpoint(folder: ObjectStoragePath, kind: Kind) -> AnyManifest | None:
    """Read a folder's checkpoint; None if there is none that this version can read."""
    with suppress(ManifestError):
        return read_manifest(_checkpoint_path(folder, kind))
    return None


def delete_checkpoint(folder: ObjectStoragePath, kind: Kind) -> None:
    """Delete a folder's checkpoint, if there is one."""
    storage.delete(_checkpoint_path(folder, kind))


def _checkpoint_path(folder: ObjectStoragePath, kind: Kind) -> ObjectStoragePath:
    return folder / str(FileName("checkpoint", kind))


def read_manifest(path: ObjectStoragePath) -> AnyManifest | None:
    """Read a manifest or a checkpoint; None if the file does not exist.

    :raises ManifestError: when the file is something else.
    """
    text = storage.get_text(path)
    try:
        return None if text is None else _FILE.validate_json(text)
    except ValidationError:
        raise ManifestError(
            f"{path} is no manifest of this version: run the task that stages it again."
        ) from None
