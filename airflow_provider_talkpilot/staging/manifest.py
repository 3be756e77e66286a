"""The manifest of what one task staged; a load takes nothing without it."""

from __future__ import annotations

import hashlib
from datetime import date, datetime
from typing import Literal

from airflow.providers.common.compat.sdk import ObjectStoragePath
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from airflow_provider_talkpilot.api import Interval
from airflow_provider_talkpilot.staging import storage
from airflow_provider_talkpilot.staging.days import DayCount
from airflow_provider_talkpilot.staging.errors import ManifestError, TooManyRejectsError
from airflow_provider_talkpilot.staging.parts import Part

Kind = Literal["calls", "details"]


class AgentWalk(BaseModel):
    """What one agent's verified walk gave.

    :param agent_id: the agent.
    :param calls: calls inside the interval that were staged.
    :param rejected: records kept aside.
    :param walks: how many walks it took until one was whole; of a list that was walked in parts,
        the most that one of them took.
    :param began_at: when the walk that was whole began, of parts the first; None in manifests of
        older versions. A row that was read before and did not come in this walk is gone from the
        API.
    :param walked_at: when the walk ended, of parts the last.
    """

    agent_id: str
    calls: int
    rejected: int = 0
    walks: int = 1
    began_at: datetime | None = None
    walked_at: datetime

    def joined(self, later: AgentWalk) -> AgentWalk:
        """This walk and a later one of the part of the interval after it, as one."""
        return AgentWalk(
            agent_id=self.agent_id,
            calls=self.calls + later.calls,
            rejected=self.rejected + later.rejected,
            walks=max(self.walks, later.walks),
            began_at=self.began_at,
            walked_at=later.walked_at,
        )


class UnfinishedWalk(AgentWalk):
    """What the first parts of a long list gave.

    :param until: the agent's calls before this moment are staged.
    """

    until: datetime


class Pending(BaseModel):
    """How an interrupted extraction goes on.

    :param worked_at: when somebody last worked on it.
    :param walk_pages: the most pages of one walk.
    :param walk: of the agent that was begun and is not walked to its end.
    """

    worked_at: datetime
    walk_pages: int
    walk: UnfinishedWalk | None = None


class Manifest(BaseModel):
    """What was staged, complete, for one interval.

    :param kind: ``calls`` (list rows) or ``details``.
    :param start: first moment of the interval.
    :param end: first moment after it.
    :param agents: the walks, by agent; empty for details.
    :param agents_asked: of details, how many agents' calls they belong to.
    :param pending: in a checkpoint of an extraction, how it goes on.
    :param selection: names of the filters in use; with any, this is not the whole interval.
    :param columns: what was dropped (``drop``) or hashed (``hash-<fingerprint of the secret>``)
        before it was staged, by column.
    :param days: the calls that were staged, by UTC day; empty for details.
    :param parts: files with the rows, in order.
    :param drift: how many values came that do not fit their column, by column; of details, those
        that were fetched.
    :param rejects: files with the records that failed validation.
    :param reject_reason: why the first of them failed, without its values.
    :param requests: API requests spent, by kind, tries and refusals included.
    :param fetched: details that were asked for and answered, those of interrupted tries included.
    :param vanished: calls that the list had and whose detail was gone.
    :param started_at: when the work began (before interruptions).
    """

    model_config = ConfigDict(extra="forbid")

    version: Literal[1] = 1
    kind: Kind
    start: datetime
    end: datetime
    agents: list[AgentWalk] = Field(default_factory=list)
    agents_asked: int = 0
    pending: Pending | None = None
    selection: list[str] = Field(default_factory=list)
    columns: dict[str, str] = Field(default_factory=dict)
    days: dict[date, DayCount] = Field(default_factory=dict)
    parts: list[Part] = Field(default_factory=list)
    drift: dict[str, int] = Field(default_factory=dict)
    rejects: list[Part] = Field(default_factory=list)
    reject_reason: str = ""
    requests: dict[str, int] = Field(default_factory=dict)
    fetched: int = 0
    vanished: int = 0
    started_at: datetime

    @property
    def interval(self) -> Interval:
        """The interval whose calls these are."""
        return Interval(self.start, self.end)

    @property
    def agent_count(self) -> int:
        """How many agents were walked."""
        return len(self.agents) or self.agents_asked

    @property
    def rows(self) -> int:
        """Rows in all parts."""
        return sum(part.rows for part in self.parts)

    @property
    def rejected(self) -> int:
        """Records in all rejects files."""
        return sum(part.rows for part in self.rejects)

    @property
    def digest(self) -> str:
        """SHA-256 of the manifest, hex: equal for equal content, different for a new walk."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()

    def require_rejects_within(self, allowed: int, folder: ObjectStoragePath) -> None:
        """Refuse more records that failed validation than are allowed.

        :param allowed: how many.
        :param folder: where the rejects files are, for the message.
        :raises TooManyRejectsError: when there are more.
        """
        if self.rejected > allowed:
            names = ", ".join(str(folder / part.name) for part in self.rejects)
            raise TooManyRejectsError(
                f"{self.rejected} record(s) of {self.interval} failed validation, {allowed} "
                f"allowed; the first: {self.reject_reason}. They are kept, with the reason of "
                f"each, in {names}. Report them to TalkPilot, or allow them with max_rejects."
            )

    def is_whole(self, folder: ObjectStoragePath) -> bool:
        """Whether all parts are there, each as large as it was staged."""
        return all(storage.size(folder / part.name) == part.bytes for part in self.parts)

    def save(self, folder: ObjectStoragePath) -> ObjectStoragePath:
        """Write the manifest under a name that holds its digest.

        :return: its path.
        """
        path = folder / f"{self.kind}-manifest-{self.digest[:16]}.json"
        storage.put_text(self.model_dump_json(), path)
        return path

    def save_checkpoint(self, folder: ObjectStoragePath) -> None:
        """Write down unfinished work, for whoever goes on."""
        storage.put_text(self.model_dump_json(), _checkpoint(folder, self.kind))

    @classmethod
    def load_checkpoint(cls, folder: ObjectStoragePath, kind: Kind) -> Manifest | None:
        """Read unfinished work; None where there is none that this version understands."""
        path = _checkpoint(folder, kind)
        text = storage.get_text(path)
        try:
            return None if text is None else cls.parse(text, path)
        except ManifestError:
            return None

    @staticmethod
    def delete_checkpoint(folder: ObjectStoragePath, kind: Kind) -> None:
        """Forget unfinished work: it is finished."""
        storage.delete(_checkpoint(folder, kind))

    def add_requests(self, before: dict[str, int], spent: dict[str, int]) -> None:
        """Set ``requests`` to what an interrupted try spent and what this one did."""
        self.requests = {
            kind: before.get(kind, 0) + spent.get(kind, 0) for kind in sorted({*before, *spent})
        }

    @classmethod
    def load(cls, path: ObjectStoragePath) -> Manifest:
        """Read a manifest.

        :raises ManifestError: when there is none, or it is not one of ours.
        """
        text = storage.get_text(path)
        if text is None:
            raise ManifestError(
                f"There is no manifest at {path}: nothing complete is staged there. Run the task "
                "that stages (extract or enrich) again."
            )
        return cls.parse(text, path)

    @classmethod
    def parse(cls, text: str, place: object) -> Manifest:
        """Read a manifest's text.

        :raises ManifestError: when it is not one of ours.
        """
        try:
            return cls.model_validate_json(text)
        except ValidationError:
            raise ManifestError(
                f"{place} is no manifest of this version: run the task that stages it again."
            ) from None


def _checkpoint(folder: ObjectStoragePath, kind: Kind) -> ObjectStoragePath:
    return folder / f"{kind}-checkpoint.json"
