"""Slices of a long interval: a walk is whole or useless, so no walk may be long."""

from __future__ import annotations

import math
from datetime import timedelta
from itertools import pairwise

from airflow_provider_talkpilot.api import Interval
from airflow_provider_talkpilot.api.walk import PAGE_LIMIT

# The margin around a slice is read twice. Of a minute it is little, of a second it would be most.
SHORTEST = timedelta(minutes=1)

_SECOND = timedelta(seconds=1)


def is_long(total: int, pages: int) -> bool:
    """Whether a list of so many calls has more pages than one walk may have."""
    return total > pages * PAGE_LIMIT


def slices_of(interval: Interval, total: int, pages: int) -> list[Interval]:
    """Cut the interval of a long list into slices of equal length.

    A slice has about half the pages that a walk may have, so that one of a busy time still fits
    into a walk. It costs half a page more.

    :param interval: the interval.
    :param total: how many calls it has.
    :param pages: the most pages of one walk.
    :return: the slices, oldest first; the interval alone where its list is short, or where it is
        too short to be cut.
    """
    length = interval.end - interval.start
    count = min(math.ceil(2 * total / PAGE_LIMIT / pages), length // SHORTEST)
    if not is_long(total, pages) or count < 2:
        return [interval]
    seconds = length // _SECOND
    cuts = [interval.start + _SECOND * (seconds * number // count) for number in range(count)]
    return [Interval(start, end) for start, end in pairwise([*cuts, interval.end])]
