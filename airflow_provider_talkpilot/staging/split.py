"""Long lists in parts: a walk is whole or worthless, so no walk may be long."""

from __future__ import annotations

import math
from datetime import timedelta
from itertools import pairwise

from airflow_provider_talkpilot.api import Interval
from airflow_provider_talkpilot.api.walk import PAGE_LIMIT

# A list of more pages than this is walked in parts of about so many. A part costs half a page more,
# a hundredth of it, and one of a busy time still fits into one walk.
LONG_PAGES = 100
PART_PAGES = 50
# The margin around a part is read twice. Of a minute it is little, of a second it would be most.
SHORTEST = timedelta(minutes=1)

_SECOND = timedelta(seconds=1)


def is_long(total: int) -> bool:
    """Whether a list of so many calls is too long for one walk."""
    return total > LONG_PAGES * PAGE_LIMIT


def parts_of(interval: Interval, total: int) -> list[Interval]:
    """Cut the interval of a long list into parts, equal in time.

    :param interval: the interval.
    :param total: how many calls it has.
    :return: the parts, oldest first; the interval alone where its list is short, or where it cannot
        be cut because it is too short itself.
    """
    length = interval.end - interval.start
    count = min(math.ceil(total / PAGE_LIMIT / PART_PAGES), length // SHORTEST)
    if not is_long(total) or count < 2:
        return [interval]
    seconds = length // _SECOND
    cuts = [interval.start + _SECOND * (seconds * number // count) for number in range(count)]
    return [Interval(start, end) for start, end in pairwise([*cuts, interval.end])]
