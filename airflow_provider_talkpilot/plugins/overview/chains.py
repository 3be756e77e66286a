"""Groups the tasks that worked on the same calls: an extract task, its enrichment, their loads.

The summary of a task names its work. A task that waits, or failed at once, has no summary. It
counts as doing the work that the same task of the same DAG last did.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from airflow_provider_talkpilot.plugins.overview.records import Interval, Summary, Task, TaskKind


@dataclass
class Chain:
    """An extract task, and the tasks that loaded what it staged.

    :param about: the summary of the extract task.
    """

    extract: Task
    about: Summary
    interval: Interval
    load_calls: list[Task] = field(default_factory=list)
    performance: list[Task] = field(default_factory=list)
    enrich: list[Task] = field(default_factory=list)
    load_details: list[Task] = field(default_factory=list)

    @property
    def tasks(self) -> list[Task]:
        """All of them, in the order in which they run."""
        return [
            *(self.extract, *self.load_calls, *self.performance),
            *(*self.enrich, *self.load_details),
        ]

    def add(self, task: Task, about: Summary) -> None:
        """Add a load or an enrichment.

        :param about: its summary, or its usual one.
        """
        if about.kind is TaskKind.DETAILS:
            self.enrich.append(task)
        elif about.manifest_kind == "details":
            self.load_details.append(task)
        elif about.kind is TaskKind.PERFORMANCE or about.manifest_kind == "performance":
            self.performance.append(task)
        else:
            self.load_calls.append(task)


def chains(tasks: Iterable[Task]) -> tuple[list[Chain], int]:
    """Group tasks by the calls that they worked on.

    :param tasks: all tasks that push summaries.
    :return: the chains, oldest first; and how many extract tasks failed before they knew their
        interval.
    """
    in_order = sorted(tasks, key=lambda task: task.run.run_after)
    usual = {_name(task): task.summary for task in in_order if task.summary}
    found: list[Chain] = []
    by_work: dict[tuple[str, Interval], list[Chain]] = defaultdict(list)
    by_run: dict[tuple[str, str], list[Chain]] = defaultdict(list)
    others: list[tuple[Task, Summary]] = []
    unplaced = 0
    for task in in_order:
        about = task.summary or usual.get(_name(task))
        if about is None or about.kind is TaskKind.RESYNC:
            continue
        if about.kind is not TaskKind.CALLS:
            others.append((task, about))
        elif task.summary and (work := task.summary.work):
            chain = Chain(task, task.summary, work[1])
            found.append(chain)
            by_work[work].append(chain)
            by_run[_run(task)].append(chain)
        elif task.failed or (task.skipped and task.run.state == "failed"):
            unplaced += 1
    for task, about in others:
        work = task.summary.work if task.summary else None
        beside = by_run[_run(task)]
        of = _same_work(task, by_work[work]) if work else _same_run(task, about, beside)
        if of is not None:
            of.add(task, about)
    return found, unplaced


def _same_work(task: Task, candidates: Sequence[Chain]) -> Chain | None:
    """Return the chain of the same run; or the last one before, for a DAG that an asset starts."""
    manifest = task.summary.manifest if task.summary else None
    return max(
        (each for each in candidates if each.extract.run.run_after <= task.run.run_after),
        key=lambda each: (
            _run(each.extract) == _run(task),
            manifest is not None and each.about.manifest == manifest,
            each.extract.run.run_after,
        ),
        default=None,
    )


def _same_run(task: Task, usual: Summary, candidates: Sequence[Chain]) -> Chain | None:
    """Return the only chain of the run to which a task without a summary can belong."""
    for choice in (
        candidates,
        [each for each in candidates if each.extract.map_index == task.map_index],
        [each for each in candidates if each.about.scope == usual.scope],
    ):
        if len(choice) == 1:
            return choice[0]
    return None


def _name(task: Task) -> tuple[str, str]:
    return task.run.dag_id, task.task_id


def _run(task: Task) -> tuple[str, str]:
    return task.run.dag_id, task.run.run_id
