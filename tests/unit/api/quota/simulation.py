"""TalkPilot's rate limits and several processes on one key, on a simulated clock."""

from __future__ import annotations

import heapq
import math
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from functools import partial
from typing import Literal

from airflow_provider_talkpilot.api import Quota
from airflow_provider_talkpilot.api.quota import Clock, LedgerEntry, Permit

START = 1_770_000_000.0
MINUTE, HOUR = 60.0, 3600.0
SYNC_SECONDS = 10.0
THREADS = 8

Windows = Literal["fixed", "sliding"]


@dataclass
class Server:
    """A server with a limit of the minute and one of the hour, and TalkPilot's headers.

    :param windows: fixed, as in spring, or sliding, as now.
    :param offset: seconds after a round minute at which fixed windows end.
    :param rounding: makes a whole number of a window's end.
    :param counts_refused: whether a refused request uses up quota.
    :param clock_skew: seconds from the world's clock to its own.
    """

    windows: Windows = "sliding"
    per_minute: int = 60
    per_hour: int = 1_000_000
    offset: float = 0.0
    rounding: Callable[[float], float] = math.ceil
    counts_refused: bool = False
    clock_skew: float = 0.0
    accepted: list[float] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)
    _in_minute: deque[float] = field(default_factory=deque)
    _in_hour: deque[float] = field(default_factory=deque)

    def respond(self, now: float) -> tuple[bool, dict[str, str]]:
        """Return whether the request is accepted, and the headers."""
        self._forget(self._in_minute, MINUTE, now)
        self._forget(self._in_hour, HOUR, now)
        over_minute = len(self._in_minute) >= self.per_minute
        over_hour = len(self._in_hour) >= self.per_hour
        is_refused = over_minute or over_hour
        (self.refused if is_refused else self.accepted).append(now)
        if not is_refused or self.counts_refused:
            self._in_minute.append(now)
            self._in_hour.append(now)
        headers = {
            "X-RateLimit-Limit": str(self.per_minute),
            "X-RateLimit-Remaining": str(max(0, self.per_minute - len(self._in_minute))),
            "X-RateLimit-Reset": str(self.rounding(self._end(MINUTE, now) + self.clock_skew)),
            "Date": format_datetime(
                datetime.fromtimestamp(now + self.clock_skew, UTC), usegmt=True
            ),
        }
        if is_refused:
            until = max(self._end(MINUTE, now) * over_minute, self._end(HOUR, now) * over_hour)
            headers["Retry-After"] = str(math.ceil(until - now))
        return not is_refused, headers

    def _end(self, seconds: float, now: float) -> float:
        if self.windows == "sliding":
            return now + seconds
        return (math.floor((now - self.offset) / seconds) + 1) * seconds + self.offset

    def _forget(self, requests: deque[float], seconds: float, now: float) -> None:
        start = self._end(seconds, now) - seconds
        while requests and requests[0] <= start - (self.windows == "sliding") * seconds:
            requests.popleft()

    def most_in(self, seconds: float) -> int:
        """Return the most requests, refused ones included, in any time of that length."""
        sent = sorted(self.accepted + self.refused)
        first = most = 0
        for last, moment in enumerate(sent):
            while moment - sent[first] >= seconds:
                first += 1
            most = max(most, last - first + 1)
        return most


class SharedLedger:
    """A ledger that has the last entry of each process."""

    def __init__(self) -> None:
        self.entries: dict[str, LedgerEntry] = {}

    def sync(self, own: LedgerEntry) -> list[LedgerEntry]:
        self.entries[own.writer] = LedgerEntry.model_validate_json(own.model_dump_json())
        return [entry for entry in self.entries.values() if entry.writer != own.writer]


class SimulatedClock(Clock):
    """A clock that stands still until ``time`` is set."""

    def __init__(self, seed: int = 0) -> None:
        self.time = START
        self._random = random.Random(seed)

    def now(self) -> float:
        return self.time

    def random(self) -> float:
        return self._random.random()


@dataclass
class Process:
    """One process, whose threads send requests as long as it has work.

    :param work: how many requests must succeed.
    :param latency: seconds from sending to the response, least and most.
    :param begins: seconds after the start of the simulation at which it begins.
    :param ends: likewise; it sends nothing from then on.
    :param losses: share of requests that get no response; the server counts half of these.
    """

    quota: Quota
    work: int
    latency: tuple[float, float] = (0.05, 0.3)
    begins: float = 0.0
    ends: float = math.inf
    losses: float = 0.0
    sent: int = 0
    refused: int = 0
    busy: int = 0
    wakes_at: float = 0.0
    done_at: float = 0.0


class World:
    """Runs processes against the server, until the time is over or the work is done."""

    def __init__(
        self, server: Server, processes: list[Process], clock: SimulatedClock, seed: int = 0
    ) -> None:
        self.server, self.processes = server, processes
        self._clock = clock
        self._random = random.Random(seed)
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0

    @property
    def now(self) -> float:
        return self._clock.time

    def at(self, when: float, happen: Callable[[], None]) -> None:
        self._count += 1
        heapq.heappush(self._events, (when, self._count, happen))

    def run(self, seconds: float = 1e9) -> None:
        for process in self.processes:
            self.at(START + process.begins, partial(self._work, process))
        while self._events and self._events[0][0] <= START + seconds:
            self._clock.time, _, happen = heapq.heappop(self._events)
            happen()

    def _work(self, process: Process) -> None:
        if process.work == 0 or self.now >= START + process.ends:
            process.quota.sync_ledger(is_last=True)
            return
        while process.work > process.busy and process.busy < THREADS:
            permit = process.quota.try_acquire()
            if not isinstance(permit, Permit):
                self._wake(process, self.now + min(max(permit, 1e-6), SYNC_SECONDS))
                return
            self._send(process, permit)

    def _wake(self, process: Process, when: float) -> None:
        """Continue a process's work at that time, or earlier."""
        if self.now < process.wakes_at <= when:
            return
        process.wakes_at = when

        def wake() -> None:
            if process.wakes_at == when:
                self._work(process)

        self.at(when, wake)

    def _send(self, process: Process, permit: Permit) -> None:
        process.busy += 1
        process.sent += 1
        latency = self._random.uniform(*process.latency)
        there = self.now + latency * self._random.uniform(0.2, 0.8)
        lost = self._random.random() < process.losses
        is_counted = not lost or self._random.random() < 0.5

        def arrive() -> None:
            accepted, headers = self.server.respond(self.now) if is_counted else (False, {})
            self.at(sent + latency, lambda: come_back(accepted, headers))

        def come_back(accepted: bool, headers: dict[str, str]) -> None:
            process.busy -= 1
            if lost:
                process.quota.record_failure(permit)
            elif accepted:
                process.quota.record_response(permit, headers)
                process.work -= 1
                process.done_at = self.now
            else:
                process.refused += 1
                process.quota.record_refusal(permit, headers)
            self._work(process)

        sent = self.now
        self.at(there, arrive)
