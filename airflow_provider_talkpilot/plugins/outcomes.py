"""From the tasks that ran to what came of each interval."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum

from airflow_provider_talkpilot.plugins.records import (
    CHOOSE,
    ENRICH,
    EXTRACT,
    LOAD,
    Task,
    count,
    day_of,
    mapping,
    moment,
    text,
)

PAGE = 100
UNKNOWN = "unknown connection"


class State(StrEnum):
    """What came of an interval."""

    COMPLETE = "complete"  # calls and details are loaded
    SUMMARIES = "summaries"  # calls are loaded, details were not asked for
    FAILED = "failed"
    RUNNING = "running"  # running, queued, deferred, waiting for its next try


@dataclass(frozen=True)
class Outcome:
    """What came of one interval in one run.

    :param at: when the last of its tasks ended; before that, when the run was due.
    :param agents: whose calls; None for every agent of the key, or where that is not known.
    :param scope: which agents were asked for, as a name: ``all`` or another.
    :param by_agent: calls by agent, where the walk is known.
    :param by_day: calls by UTC day, where they are known.
    :param calls: calls of the walk.
    :param calls_loaded: whether its calls are in the table, whatever became of the details.
    :param lacking: calls of the walk without a detail, though details were fetched.
    :param purged: calls found to be purged since the table last read them.
    :param erased: calls found to be gone.
    :param drift: values that did not fit, by column: of the list, or of details where there were
        more.
    :param failed_task: the first task that failed.
    """

    connection: str
    dag_id: str
    run_id: str
    start: datetime
    end: datetime
    state: State
    at: datetime
    agents: frozenset[str] | None = None
    scope: str = "all"
    by_agent: Mapping[str, int] = field(default_factory=dict)
    by_day: Mapping[date, int] = field(default_factory=dict)
    calls: int | None = None
    calls_loaded: bool = False
    lacking: int = 0
    purged: int = 0
    erased: int = 0
    drift: Mapping[str, int] = field(default_factory=dict)
    failed_task: str | None = None

    @property
    def loaded(self) -> bool:
        """Whether all that it was to bring is in the table."""
        return self.state in (State.COMPLETE, State.SUMMARIES)


@dataclass(frozen=True)
class Spending:
    """Requests that a task spent, and the fewest that could have done its work.

    :param at: when the task ended.
    :param hour_limit: the connection's ceiling an hour, if it has one.
    """

    connection: str
    at: datetime
    lists: int
    details: int
    least_lists: int
    least_details: int
    hour_limit: int | None = None


def spending(tasks: Iterable[Task]) -> list[Spending]:
    """Requests by task, oldest first; tasks that left no summary are not known."""
    found = []
    for task in tasks:
        if task.operator not in (CHOOSE, EXTRACT, ENRICH) or not task.summary or task.ended is None:
            continue
        requests = {
            kind: n for kind, value in mapping(task.summary.get("requests")).items()
            if (n := count(value)) is not None
        }  # fmt: skip
        details = requests.pop("detail", 0)
        found.append(
            Spending(
                connection=_connection(task) or UNKNOWN,
                at=task.ended,
                lists=sum(requests.values()),
                details=details,
                least_lists=_least_lists(task, requests),
                least_details=_least_details(task, details) if task.operator == ENRICH else 0,
                hour_limit=count(task.summary.get("requests_per_hour")),
            )
        )
    return sorted(found, key=lambda each: each.at)


def _least_lists(task: Task, requests: Mapping[str, int]) -> int:
    """A page for 100 calls of an agent, and one for the list of agents where it was read."""
    if task.operator != EXTRACT:
        return sum(requests.values())
    by_agent = _by_agent(task)
    agents = count(task.summary.get("agents")) or len(by_agent)
    if by_agent:
        pages = sum(max(1, math.ceil(calls / PAGE)) for calls in by_agent.values())
    else:
        pages = max(agents, math.ceil((count(task.summary.get("calls")) or 0) / PAGE))
    return pages + (max(1, math.ceil(agents / PAGE)) if requests.get("agents") else 0)


def _least_details(task: Task, spent: int) -> int:
    """One for each detail that was new."""
    fetched = count(task.summary.get("fetched"))
    if fetched is None:  # an older version's, which counts staged details, known ones among them
        names = ("details", "vanished", "rejected")
        fetched = sum(count(task.summary.get(name)) or 0 for name in names)
    return min(fetched, spent)


def outcomes(tasks: Sequence[Task]) -> tuple[list[Outcome], int]:
    """Find what came of each interval.

    :param tasks: all tasks of the operators.
    :return: the outcomes, newest first; and how many walks are not among them, since they ended
        before anybody knew their interval.
    """
    found, unplaced = [], 0
    habits = _Habits(tasks)
    for chain in _chains(tasks, habits):
        outcome = _outcome(chain, habits)
        if outcome is not None:
            found.append(outcome)
        elif chain.extract.failed:
            unplaced += 1
    return sorted(found, key=lambda each: each.at, reverse=True), unplaced


@dataclass
class _Chain:
    """The tasks that brought one walk to the table."""

    extract: Task
    load_calls: list[Task] = field(default_factory=list)
    enrich: list[Task] = field(default_factory=list)
    load_details: list[Task] = field(default_factory=list)

    @property
    def tasks(self) -> list[Task]:
        return [self.extract, *self.load_calls, *self.enrich, *self.load_details]


class _Habits:
    """What tasks that left something tell about those of the same name that did not."""

    def __init__(self, tasks: Iterable[Task]) -> None:
        self._connections: dict[tuple[str, str, int], str] = {}
        self._agents: dict[tuple[str, str, int], tuple[frozenset[str] | None, str]] = {}
        self._kinds: dict[tuple[str, str], str] = {}
        self._extracts: dict[tuple[str, str], str] = {}
        for task in sorted(tasks, key=lambda each: each.run.run_after):
            key = (task.run.dag_id, task.task_id, task.map_index)
            if connection := _connection(task):
                self._connections[key] = connection
                self._connections.setdefault((*key[:2], -1), connection)
            if task.operator == EXTRACT and task.folder:
                self._agents[key] = _agents(task), _scope(task)
            if task.operator == LOAD and (kind := _kind(task)):
                self._kinds[key[:2]] = kind

    def connection(self, task: Task) -> str:
        dag_id, task_id = task.run.dag_id, task.task_id
        return (
            _connection(task)
            or self._connections.get((dag_id, task_id, task.map_index))
            or self._connections.get((dag_id, task_id, -1))
            or UNKNOWN
        )

    def agents(self, task: Task) -> tuple[frozenset[str] | None, str]:
        key = (task.run.dag_id, task.task_id, task.map_index)
        usual = self._agents.get(key, (None, "all"))
        if task.folder:
            return _agents(task), _scope(task)
        # What it was filtered by is in the folder alone.
        return (_agents(task), usual[1]) if task.rendered else usual

    def loads_details(self, task: Task) -> bool:
        kind = _kind(task) or self._kinds.get((task.run.dag_id, task.task_id))
        return kind == "details" if kind else "detail" in task.task_id

    def is_of(self, task: Task, extract: Task) -> bool:
        """Whether it followed this extract task before."""
        key = (task.run.dag_id, task.task_id)
        return self._extracts.get(key) == extract.task_id

    def note(self, task: Task, extract: Task) -> None:
        self._extracts[task.run.dag_id, task.task_id] = extract.task_id


def _chains(tasks: Sequence[Task], habits: _Habits) -> list[_Chain]:
    """Put loads and enrichments to the walk they belong to: by folder, else by what is usual."""
    in_order = sorted(tasks, key=lambda each: each.run.run_after)
    chains = [_Chain(task) for task in in_order if task.operator == EXTRACT]
    by_run: dict[tuple[str, str], list[_Chain]] = {}
    by_folder: dict[str, list[_Chain]] = {}
    for chain in chains:
        run = chain.extract.run
        by_run.setdefault((run.dag_id, run.run_id), []).append(chain)
        if folder := chain.extract.folder:
            by_folder.setdefault(folder, []).append(chain)
    # Those that name their folder go first: the others follow the same pattern.
    for task in sorted(in_order, key=lambda each: each.folder is None):
        if task.operator not in (ENRICH, LOAD):
            continue
        beside = by_run.get((task.run.dag_id, task.run.run_id), [])
        of = _by_folder(task, beside, by_folder) or _by_habit(task, beside, habits)
        if of is None:
            continue
        habits.note(task, of.extract)
        if task.operator == ENRICH:
            of.enrich.append(task)
        elif habits.loads_details(task):
            of.load_details.append(task)
        else:
            of.load_calls.append(task)
    return chains


def _by_folder(
    task: Task, beside: Sequence[_Chain], by_folder: Mapping[str, Sequence[_Chain]]
) -> _Chain | None:
    folder = task.folder
    if folder is None:
        return None
    for chain in beside:
        if chain.extract.folder == folder:
            return chain
    # Of another run, by an asset perhaps: the last walk that was due by then.
    earlier = [
        chain
        for chain in by_folder.get(folder, ())
        if chain.extract.run.run_after <= task.run.run_after
    ]
    return earlier[-1] if earlier else None


def _by_habit(task: Task, beside: Sequence[_Chain], habits: _Habits) -> _Chain | None:
    if len(beside) == 1:
        return beside[0]
    same = [chain for chain in beside if chain.extract.map_index == task.map_index]
    usual = [chain for chain in same if habits.is_of(task, chain.extract)]
    for choice in (usual, same):
        if len(choice) == 1:
            return choice[0]
    return None


def _outcome(chain: _Chain, habits: _Habits) -> Outcome | None:
    extract = chain.extract
    interval = _interval(extract)
    state = _state(chain)
    agents, scope = habits.agents(extract)
    # A selection is not the interval, and what nobody loads is in no warehouse.
    if interval is None or state is None or "-selection-" in scope:
        return None
    ended = [task.ended for task in chain.tasks if task.ended is not None]
    failed = next((task.task_id for task in chain.tasks if task.state == "failed"), None)
    return Outcome(
        connection=habits.connection(extract),
        dag_id=extract.run.dag_id,
        run_id=extract.run.run_id,
        start=interval[0],
        end=interval[1],
        state=state,
        at=max(ended, default=extract.run.run_after),
        agents=agents,
        scope=scope,
        by_agent=_by_agent(extract),
        by_day=_by_day(extract),
        calls=count(extract.summary.get("calls")),
        calls_loaded=any(task.succeeded for task in chain.load_calls),
        lacking=sum(
            count(task.summary.get(name)) or 0
            for task in chain.enrich
            for name in ("vanished", "rejected")
        ),
        purged=_loaded(chain, "purged"),
        erased=_loaded(chain, "erased"),
        drift=_drift([extract, *chain.enrich]),
        failed_task=failed,
    )  # fmt: skip


def _loaded(chain: _Chain, name: str) -> int:
    """What the loads of a walk counted."""
    return sum(count(mapping(task.returned).get(name)) or 0 for task in chain.load_calls)


def _state(chain: _Chain) -> State | None:
    """The state of a chain; None where it brings nothing to the table."""
    calls = [chain.extract, *chain.load_calls]
    details = [*chain.enrich, *chain.load_details]
    if chain.extract.skipped:
        return None
    if any(task.failed for task in calls):
        return State.FAILED
    if any(not task.succeeded and not task.skipped for task in calls):
        return State.RUNNING
    if not any(task.succeeded for task in chain.load_calls):
        return None
    if any(task.failed for task in details):
        return State.FAILED
    if any(not task.succeeded and not task.skipped for task in details):
        return State.RUNNING
    fetched = any(task.succeeded for task in chain.enrich)
    loaded = any(task.succeeded for task in chain.load_details)
    return State.COMPLETE if fetched and loaded else State.SUMMARIES


def _interval(task: Task) -> tuple[datetime, datetime] | None:
    """The interval of a walk: as walked, as asked for, or as the run has it."""
    said = (task.summary, task.rendered, task.run.conf)
    for start, end in (
        *((moment(each.get("start")), moment(each.get("end"))) for each in said),
        (task.run.start, task.run.end),
    ):
        if start and end and start < end:
            return start, end
    return None


def _connection(task: Task) -> str | None:
    return text(task.summary.get("connection_id")) or text(task.rendered.get("talkpilot_conn_id"))


def _by_agent(task: Task) -> dict[str, int]:
    given = mapping(task.summary.get("by_agent"))
    return {agent: n for agent, value in given.items() if (n := count(value)) is not None}


def _by_day(task: Task) -> dict[date, int]:
    found = {}
    for name, value in mapping(task.summary.get("by_day")).items():
        day, calls = day_of(name), count(mapping(value).get("calls"))
        if day is not None and calls is not None:
            found[day] = calls
    return found


def _drift(tasks: Iterable[Task]) -> dict[str, int]:
    """Values that did not fit. A detail has the list's fields too: the larger count is of calls."""
    found: dict[str, int] = {}
    for task in tasks:
        for name, value in mapping(task.summary.get("drift")).items():
            if number := count(value):
                found[name] = max(number, found.get(name, 0))
    return found


def _agents(task: Task) -> frozenset[str] | None:
    """Whose calls a walk is about; None for every agent."""
    if "by_agent" in task.summary:
        return frozenset(_by_agent(task))
    asked = task.rendered.get("agent_ids")
    if isinstance(asked, str):
        try:
            asked = json.loads(asked) if asked.strip() else None
        except ValueError:
            asked = [asked]
    if isinstance(asked, list) and asked and all(isinstance(agent, str) for agent in asked):
        return frozenset(asked)
    return None


def _scope(task: Task) -> str:
    """The part of the staging folder that names the agents asked for."""
    folder = (task.folder or "").split("/")
    return folder[-2] if len(folder) >= 2 else "all"


def _kind(task: Task) -> str | None:
    """Whether a load is of calls or of details, by the name of the manifest."""
    name = (task.manifest_uri or "").rpartition("/")[2]
    kind = name.partition("-manifest-")[0]
    return kind if kind in ("calls", "details") else None
