"""What runs leave in Airflow's database, as far as the page reads it; and how to read it safely.

XComs may be of another version, of another backend or somebody else's: whatever does not fit counts
as not there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any

EXTRACT = "TalkPilotExtractCallsOperator"
ENRICH = "TalkPilotEnrichCallsOperator"
LOAD = "TalkPilotLoadCallsOperator"
CHOOSE = "TalkPilotChooseDaysOperator"
OPERATORS = (EXTRACT, ENRICH, LOAD, CHOOSE)

_SUCCEEDED = "success"
_FAILED = frozenset({"failed", "upstream_failed"})
_SKIPPED = frozenset({"skipped", "removed"})


@dataclass(frozen=True)
class Run:
    """A DAG run.

    :param start: start of its data interval, where it has one.
    :param end: likewise.
    :param conf: what it was triggered with; read for runs only whose tasks do not say more.
    """

    dag_id: str
    run_id: str
    state: str
    run_after: datetime
    start: datetime | None = None
    end: datetime | None = None
    conf: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Task:
    """A task instance of one of our operators.

    :param ended: when it ended, if it did.
    :param summary: the XCom ``summary`` of an extract, enrich or choose task.
    :param returned: what it returned.
    :param rendered: its rendered template fields; read for tasks only that left no XCom.
    """

    run: Run
    task_id: str
    map_index: int
    operator: str
    state: str | None
    ended: datetime | None = None
    summary: Mapping[str, Any] = field(default_factory=dict)
    returned: Any = None
    rendered: Mapping[str, Any] = field(default_factory=dict)

    @property
    def succeeded(self) -> bool:
        """Whether it did its work."""
        return self.state == _SUCCEEDED

    @property
    def failed(self) -> bool:
        """Whether it did not, and will not by itself."""
        if self.state in _SKIPPED:
            # So Airflow ends the tasks of a run that took too long.
            return self.operator == EXTRACT and self.run.state == "failed"
        return self.state in _FAILED

    @property
    def skipped(self) -> bool:
        """Whether it had nothing to do."""
        return self.state in _SKIPPED and not self.failed

    @property
    def manifest_uri(self) -> str | None:
        """The manifest that it staged, or that it took (load, and enrich that did not end)."""
        if self.operator == LOAD:
            left = self.returned.get("manifest_uri") if isinstance(self.returned, Mapping) else None
        else:
            left = self.returned
        return text(left) or text(self.rendered.get("manifest_uri"))

    @property
    def folder(self) -> str | None:
        """Where it stages: the same for all tasks of one interval."""
        uri = self.manifest_uri
        return uri.rpartition("/")[0] if uri and "/" in uri else None


def text(value: Any) -> str | None:
    """A text that says something, or None."""
    return value if isinstance(value, str) and value.strip() else None


def count(value: Any) -> int | None:
    """A number of things, or None."""
    return value if type(value) is int and value >= 0 else None


def mapping(value: Any) -> Mapping[str, Any]:
    """A mapping with texts for keys; empty in place of anything else."""
    is_one = isinstance(value, Mapping) and all(isinstance(key, str) for key in value)
    return value if is_one else {}


def moment(value: Any) -> datetime | None:
    """An aware moment from ISO 8601, UTC where it says nothing else, or None."""
    if not isinstance(value, str):
        return None
    try:
        found = datetime.fromisoformat(value.strip())
        return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
    except (OverflowError, ValueError):
        return None


def day_of(value: Any) -> date | None:
    """A day from ISO 8601, or None."""
    try:
        return date.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
