"""Finds the outcome of each interval that a run walked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum

from airflow_provider_talkpilot.plugins.overview.chains import Chain, chains
from airflow_provider_talkpilot.plugins.overview.records import Summary, Task


class State(StrEnum):
    """The state of an interval in one run."""

    COMPLETE = "complete"  # calls and details are loaded
    SUMMARIES = "summaries"  # calls are loaded; the run did not request all details
    FAILED = "failed"
    RUNNING = "running"  # running, queued, deferred, waiting for its next try


@dataclass(frozen=True)
class Outcome:
    """The outcome of one interval in one run.

    :param at: when the last of its tasks ended; before that, when the run was due.
    :param agents: the walked agents; None for every agent of the key, or for unknown agents.
    :param selected_agents: a name for the chosen agents; None for every agent.
    :param by_agent: calls by agent, if known.
    :param agent_names: names by agent, if known.
    :param by_day: calls by UTC day, if known.
    :param calls: calls of the walk.
    :param calls_loaded: whether the calls are in the table, with or without details.
    :param lacking: calls of the walk whose details the run did not load.
    :param purged: calls that TalkPilot purged since the table last read them.
    :param erased: calls that are gone from TalkPilot.
    :param drift: by column, values that did not fit: of lists or of details, the larger number.
    :param recordings: recordings by status; its loads deleted the ``deleted`` ones.
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
    selected_agents: str | None = None
    by_agent: Mapping[str, int] = field(default_factory=dict)
    agent_names: Mapping[str, str] = field(default_factory=dict)
    by_day: Mapping[date, int] = field(default_factory=dict)
    calls: int | None = None
    calls_loaded: bool = False
    lacking: int = 0
    purged: int = 0
    erased: int = 0
    drift: Mapping[str, int] = field(default_factory=dict)
    recordings: Mapping[str, int] = field(default_factory=dict)
    failed_task: str | None = None

    @property
    def loaded(self) -> bool:
        """Whether the table has all that the run should load."""
        return self.state in (State.COMPLETE, State.SUMMARIES)


def outcomes(tasks: Sequence[Task]) -> tuple[list[Outcome], int]:
    """Find the outcome of each interval.

    :param tasks: all tasks that push summaries.
    :return: the outcomes, newest first; and how many walks have none, because they failed before
        they knew their interval.
    """
    found, unplaced = chains(tasks)
    # A selection is not the whole interval. A chain without a state was not to load anything.
    known = [
        _outcome(chain, state)
        for chain in found
        if not chain.about.selection and (state := _state(chain))
    ]
    return sorted(known, key=lambda each: each.at, reverse=True), unplaced


def _outcome(chain: Chain, state: State) -> Outcome:
    extract, about = chain.extract, chain.about
    ended = [task.ended for task in chain.tasks if task.ended is not None]
    loads, enrichments = _summaries(chain.load_calls), _summaries(chain.enrich)
    return Outcome(
        connection=about.connection_id,
        dag_id=extract.run.dag_id,
        run_id=extract.run.run_id,
        start=chain.interval.start,
        end=chain.interval.end,
        state=state,
        at=max(ended, default=extract.run.run_after),
        agents=_agents(about),
        selected_agents=_selected_agents(about),
        by_agent=about.by_agent or {},
        agent_names=about.agent_names,
        by_day={day: count.calls for day, count in about.by_day.items()},
        calls=about.calls,
        calls_loaded=any(task.succeeded for task in chain.load_calls),
        lacking=_lacking(enrichments) if _has_details(chain) else about.calls or 0,
        purged=sum(each.purged for each in loads),
        erased=sum(each.erased for each in loads),
        drift=_drift([about, *enrichments]),
        recordings=_recordings(enrichments, [*loads, *_summaries(chain.load_details)]),
        failed_task=next((task.task_id for task in chain.tasks if task.failed), None),
    )


def _state(chain: Chain) -> State | None:
    """Return the state of a chain; None for one that was not to load anything."""
    calls = [chain.extract, *chain.load_calls]
    details = [*chain.enrich, *chain.load_details]
    if any(task.failed for task in calls):
        return State.FAILED
    if any(_is_unfinished(task) for task in calls):
        return State.RUNNING
    if not any(task.succeeded for task in chain.load_calls):
        # No load has started yet, or the run stopped before one, or the DAG has none.
        run_state = chain.extract.run.state
        return {"failed": State.FAILED, "success": None}.get(run_state, State.RUNNING)
    if any(task.failed for task in details):
        return State.FAILED
    if any(_is_unfinished(task) for task in details):
        return State.RUNNING
    requested = not any(each.lacking for each in _summaries(chain.enrich))
    return State.COMPLETE if requested and _has_details(chain) else State.SUMMARIES


def _has_details(chain: Chain) -> bool:
    """Return whether the run staged details and loaded them."""
    tasks = chain.enrich, chain.load_details
    return all(any(task.succeeded for task in some) for some in tasks)


def _lacking(enrichments: Iterable[Summary]) -> int:
    return sum(each.vanished + each.rejected + each.lacking for each in enrichments)


def _is_unfinished(task: Task) -> bool:
    return not (task.succeeded or task.failed or task.skipped)


def _agents(about: Summary) -> frozenset[str] | None:
    """Return the agents of a walk; None for every agent, or for unknown agents."""
    if about.by_agent is not None:
        return frozenset(about.by_agent)
    return frozenset(about.agent_ids) if about.agent_ids else None


def _selected_agents(about: Summary) -> str | None:
    """Return a name for the chosen agents; None for every agent."""
    return None if about.agent_ids is None else ",".join(sorted(about.agent_ids)) or about.scope


def _drift(summaries: Iterable[Summary]) -> dict[str, int]:
    """Count values that did not fit, by column.

    A detail repeats the list's fields, so the larger of the two counts is right.
    """
    found: dict[str, int] = {}
    for summary in summaries:
        for name, number in summary.drift.items():
            if number:
                found[name] = max(number, found.get(name, 0))
    return found


def _recordings(enrichments: Iterable[Summary], loads: Iterable[Summary]) -> dict[str, int]:
    found = Counter({"deleted": sum(each.recordings_deleted for each in loads)})
    for summary in enrichments:
        found.update(summary.recordings)
    return dict(+found)


def _summaries(tasks: Iterable[Task]) -> list[Summary]:
    return [task.summary for task in tasks if task.summary is not None]
