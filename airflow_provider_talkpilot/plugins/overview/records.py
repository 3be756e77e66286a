"""Runs, tasks and their summaries, as Airflow's database has them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

Count = Annotated[int, Field(ge=0)]


class TaskKind(StrEnum):
    """What a task does."""

    CALLS = "calls"  # an extract task
    DETAILS = "details"  # an enrich task
    PERFORMANCE = "performance"
    LOAD = "load"
    RESYNC = "resync"  # a task that chooses days


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Interval(_Model):
    """A half-open interval."""

    start: AwareDatetime
    end: AwareDatetime


class ReadAgain(Interval):
    """An interval that a re-sync chose, and why."""

    reason: str


class OfDay(_Model):
    """What a walk found on one day."""

    calls: Count


class Summary(_Model):
    """The XCom ``summary`` that our operators push.

    They push it when they know their work, and again with figures when they have done it.

    :param scope: names connection, agents and selection. Two tasks with the same scope and
        interval work on the same calls.
    :param manifest_kind: what a load loads.
    :param selection: filters in use; with any, the walk is not of the whole interval.
    :param agent_ids: the agents; None for every agent that the key can see. Empty if there are too
        many.
    :param requests: requests by kind; None while the task works.
    :param by_agent: calls by agent; None if there are too many agents.
    :param agent_names: by agent, if the task read the list of agents.
    :param rule: the rule for requesting details.
    :param lacking: calls without a detail, because no webhook brought one and none was requested.
    :param records: performance records.
    :param recordings: how many recordings came to each status.
    :param intervals: what a re-sync chose.
    """

    kind: TaskKind
    scope: str
    connection_id: str
    interval: Interval | None = None
    manifest: str | None = None
    manifest_kind: Literal["calls", "details", "performance"] | None = None
    selection: tuple[str, ...] = ()
    agent_ids: tuple[str, ...] | None = ()
    requests: dict[str, Count] | None = None
    requests_per_hour: Count | None = None
    agents: Count = 0
    calls: Count | None = None
    by_agent: dict[str, Count] | None = None
    agent_names: dict[str, str] = {}
    by_day: dict[date, OfDay] = {}
    fetched: Count = 0
    by_webhook: Count = 0
    vanished: Count = 0
    lacking: Count = 0
    rejected: Count = 0
    purged: Count = 0
    rule: str = ""
    records: Count = 0
    erased: Count = 0
    drift: dict[str, Count] = {}
    recordings: dict[str, Count] = {}
    recordings_deleted: Count = 0
    intervals: tuple[ReadAgain, ...] = ()

    @property
    def work(self) -> tuple[str, Interval] | None:
        """Scope and interval of the calls that a task works on; None without an interval."""
        return None if self.interval is None else (self.scope, self.interval)


def parse_summary(value: Any) -> Summary | None:
    """Read the value of an XCom named ``summary``.

    :param value: as the task pushed it.
    :return: the summary; None for a value that is not of our operators, or not for the page.
    :raises ValueError: when a summary of our operators has a wrong value.
    """
    if not isinstance(value, Mapping) or "scope" not in value:
        return None
    return Summary.model_validate(value) if value.get("kind") in list(TaskKind) else None


@dataclass(frozen=True)
class Run:
    """A DAG run."""

    dag_id: str
    run_id: str
    state: str
    run_after: datetime


@dataclass(frozen=True)
class Task:
    """An instance of a task that pushes summaries.

    :param ended: when it ended, if it did.
    :param summary: None if it has pushed none: it has not started, or failed at once.
    """

    run: Run
    task_id: str
    map_index: int
    state: str | None
    ended: datetime | None = None
    summary: Summary | None = None

    @property
    def succeeded(self) -> bool:
        """Whether it did its work."""
        return self.state == "success"

    @property
    def failed(self) -> bool:
        """Whether it failed, and Airflow will not try it again."""
        return self.state in ("failed", "upstream_failed")

    @property
    def skipped(self) -> bool:
        """Whether Airflow left it out."""
        return self.state in ("skipped", "removed")
