"""The intervals that a run reads again: by retention, and by the longest look-back that is due."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime

from pydantic import TypeAdapter, ValidationError

from airflow_provider_talkpilot.resync.look_backs import LookBacks, clipped, resync_end
from airflow_provider_talkpilot.resync.retention import Reading, Watched, Window, readings

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ResyncState:
    """What earlier runs have read, as it is kept between them."""

    look_backs: Mapping[int, date] = field(default_factory=dict)
    retention: Watched = Watched()

    @classmethod
    def parse(cls, text: str) -> ResyncState:
        """Read what :meth:`__str__` wrote. From anything else nothing is known: all is due."""
        try:
            return _state.validate_json(text or "{}")
        except ValidationError:
            log.warning("What earlier re-syncs have read is unreadable: everything is read again.")
            return cls()

    def __str__(self) -> str:
        return _state.dump_json(self).decode()


_state = TypeAdapter(ResyncState)


def choose_intervals(
    run_end: datetime,
    look_backs: LookBacks,
    state: ResyncState,
    *,
    agents: list[str] | None,
    retention: Mapping[str, int],
    earliest: datetime,
    unpurged_days: Callable[[Sequence[Window]], Iterable[tuple[str, date]]],
) -> tuple[list[Reading], ResyncState]:
    """Choose what a run reads again.

    :param agents: whose calls a look-back reads; None for every agent of the key.
    :param retention: for how many days TalkPilot keeps calls, by agent.
    :param earliest: the table's first call; days before it are left out.
    :param unpurged_days: finds the agents and days of windows of which the table has calls that
        are neither purged nor erased.
    :return: the intervals, and what has been read once all of them have been; none, and the state
        as it was, where nothing is due.
    """
    today, end = run_end.date(), resync_end(run_end)
    read, by_look_back = state.look_backs, list[Reading]()
    if look_back := look_backs.due(end, read):
        read = look_back.added_to(read, end)
        if interval := clipped(look_back.interval(end), earliest):
            by_look_back.append(Reading(interval, agents, f"look-back of {look_back.days} day(s)"))
    windows = state.retention.windows(retention, today)
    by_retention = readings(
        windows,
        unpurged_days(windows) if windows else (),
        covered=by_look_back[0].interval if by_look_back else None,
    )
    # Retention first: these intervals are short, and a legal duty.
    chosen = by_retention + by_look_back
    if not chosen:
        return [], state
    return chosen, ResyncState(read, state.retention.after(retention, today))
