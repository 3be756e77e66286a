"""How many calls a walk gave, day by day, so that nobody has to read the parts to know."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date

from pydantic import BaseModel

from airflow_provider_talkpilot.api import Call


class DayCount(BaseModel):
    """The calls of one day.

    :param calls: how many were staged.
    :param purged: how many of them TalkPilot has purged.
    """

    calls: int = 0
    purged: int = 0


def with_calls(days: Mapping[date, DayCount], calls: Sequence[Call]) -> dict[date, DayCount]:
    """Count calls.

    :param days: the count so far, by UTC day of ``created_at``; it stays as it is.
    :param calls: the calls to add.
    :return: the count with them.
    """
    counted = dict(days)
    more = Counter([call.created_at.date() for call in calls])
    purged = Counter([call.created_at.date() for call in calls if call.is_purged])
    for day, number in more.items():
        so_far = counted.get(day, _NONE)
        counted[day] = DayCount(calls=so_far.calls + number, purged=so_far.purged + purged[day])
    return counted


_NONE = DayCount()
