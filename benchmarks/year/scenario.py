"""What is simulated of a year, the tasks that run in it, and what it took."""

from __future__ import annotations

import math
from collections import Counter, deque
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from airflow_provider_talkpilot.api import Interval
from airflow_provider_talkpilot.resync.look_backs import DEFAULT, LookBack
from airflow_provider_talkpilot.staging.enrich.options import EnrichOptions
from airflow_provider_talkpilot.staging.extract.extraction import LONG_PAGES
from airflow_provider_talkpilot.staging.extract.walker import slices_of
from airflow_provider_talkpilot.staging.progress import seconds_for
from benchmarks.year.calls import Kind, SimulatedCall

PURPOSES = ("daily lists", "details", "late scores", "re-sync lists", "re-sync details")


@dataclass(frozen=True)
class Limits:
    """The limits of a key."""

    per_minute: int = 60
    per_hour: int = 1_000

    @property
    def an_hour(self) -> int:
        """The requests in an hour that keep both limits."""
        return min(self.per_hour, 60 * self.per_minute)

    def after(self, requests: int) -> timedelta:
        """Return the time from the start of an hour until so many requests have a response."""
        return timedelta(seconds=seconds_for(requests, self.per_minute, self.per_hour))

    def __str__(self) -> str:
        return f"{self.per_minute:,}/min, {self.per_hour:,}/h"


@dataclass(frozen=True)
class Scenario:
    """One year to simulate.

    :param calls_a_day: of one agent.
    :param details: whether the DAGs fetch details; they do not if their columns are dropped.
    :param options: when a known detail is requested again.
    :param records: whether the DAGs read performance records, which have every score.
    :param webhooks: whether each call's transcript comes by webhook.
    :param sample: how many calls a day are simulated; each stands for equally many.
    """

    calls_a_day: int
    limits: Limits
    look_backs: tuple[LookBack, ...] = DEFAULT
    details: bool = True
    options: EnrichOptions = EnrichOptions("every_version")
    records: bool = False
    webhooks: bool = False
    days: int = 365
    sample: int = 25
    seed: int = 1

    @property
    def weight(self) -> int:
        """How many calls a simulated call stands for."""
        return self.calls_a_day // self.sample


@dataclass
class Result:
    """What a year took.

    :param requests: by purpose.
    :param hourly: requests in each hour.
    :param behind: for each day, the largest number of hours since the end of the oldest day whose
        details are incomplete.
    :param lateness: hours from a change until the table had it, by kind.
    :param unseen: changes that are over 31 days old at the year's end and not in the table.
    :param slot_hours: hours of worker slots, if tasks defer.
    :param slot_hours_waiting: hours of worker slots, if tasks wait in the worker.
    :param gaps: the most days between two reads of a look-back, or of a longer one.
    """

    scenario: Scenario
    requests: Counter[str] = field(default_factory=Counter)
    hourly: list[int] = field(default_factory=list)
    behind: list[float] = field(default_factory=list)
    lateness: dict[Kind, list[float]] = field(default_factory=dict)
    unseen: Counter[Kind] = field(default_factory=Counter)
    slot_hours: float = 0.0
    slot_hours_waiting: float = 0.0
    gaps: dict[LookBack, int] = field(default_factory=dict)

    @property
    def share_used(self) -> float:
        """The share of the year's quota that was used, 0 to 1."""
        return sum(self.hourly) / (len(self.hourly) * self.scenario.limits.an_hour)


class Lists:
    """The walk of an interval: of its calls, then of their records."""

    def __init__(
        self, purpose: str, interval: Interval, began_at: datetime, lists: int, records: int
    ) -> None:
        self.purpose, self.interval, self.began_at = purpose, interval, began_at
        self.left, self.records = lists + records, records
        self.since = began_at

    @property
    def is_over(self) -> bool:
        return self.left == 0


class Details:
    """The missing details of an interval that was walked."""

    def __init__(self, interval: Interval, walked_at: datetime, is_daily: bool) -> None:
        self.interval, self.walked_at, self.is_daily = interval, walked_at, is_daily
        self.since = self.planned_at = walked_at
        self.todo: deque[tuple[SimulatedCall, str]] = deque()

    @property
    def is_over(self) -> bool:
        return not self.todo


def list_requests(interval: Interval, calls: int) -> int:
    """Count the requests for a list: agents, pages, and what the slices of a long one add."""
    slices = len(slices_of(interval, calls, LONG_PAGES))
    return 1 + math.ceil(calls / 100) + (1 + math.ceil(slices / 2) if slices > 1 else 0)
