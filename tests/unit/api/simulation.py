"""TalkPilot's rate limits and several processes on one key, on a clock that nobody waits for."""

from __future__ import annotations

import heapq
import math
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from functools import partial
from typing import Literal

from airflow_provider_talkpilot.api.governor import PATIENCE, Governor

START = 1_770_000_000.0
MINUTE, HOUR = 60.0, 3600.0


@dataclass
class Server:
    """Fixed windows of a minute and an hour, as TalkPilot's headers tell them.

    :param offset: seconds after a round minute at which windows end.
    :param rounding: how the end becomes a whole number.
    :param counts_refused: whether a refused request uses up quota.
    :param clock_ahead: seconds by which its clock is ahead of the world's.
    """

    per_minute: int = 60
    per_hour: int = 1_000_000
    offset: float = 0.0
    rounding: Literal["up", "down", "none"] = "up"
    counts_refused: bool = False
    clock_ahead: float = 0.0
    accepted: Counter[int] = field(default_factory=Counter)
    accepted_in_hour: Counter[int] = field(default_factory=Counter)
    refused: Counter[int] = field(default_factory=Counter)
    by_hour_limit: int = 0

    def minute(self, now: float) -> int:
        return math.floor((now - self.offset) / MINUTE)

    def end(self, minute: int) -> float:
        return (minute + 1) * MINUTE + self.offset

    def answer(self, now: float) -> tuple[bool, dict[str, str]]:
        """Whether the request is accepted, and the headers."""
        minute, hour = self.minute(now), math.floor(now / HOUR)
        spent = self.accepted[minute] + self.refused[minute] * self.counts_refused
        over_minute = spent >= self.per_minute
        over_hour = self.accepted_in_hour[hour] >= self.per_hour
        until = max(self.end(minute) * over_minute, (hour + 1) * HOUR * over_hour)
        if over_minute or over_hour:
            self.refused[minute] += 1
            self.by_hour_limit += over_hour
            spent += self.counts_refused
        else:
            self.accepted[minute] += 1
            self.accepted_in_hour[hour] += 1
            spent += 1
        ahead = self.clock_ahead
        rounded = {"up": math.ceil, "down": math.floor, "none": lambda x: x}[self.rounding]
        headers = {
            "X-RateLimit-Limit": str(self.per_minute),
            "X-RateLimit-Remaining": str(max(0, self.per_minute - spent)),
            "X-RateLimit-Reset": str(rounded(self.end(minute) + ahead)),
            "Date": format_datetime(datetime.fromtimestamp(now + ahead, UTC), usegmt=True),
        }
        if until:
            headers["Retry-After"] = str(math.ceil(until - now))
        return not until, headers


@dataclass
class Process:
    """One process: threads that take work as long as there is some.

    :param work: requests to be answered.
    :param threads: in flight at most.
    :param latency: seconds from sending to the answer, least and most.
    :param begins: seconds after the start of the simulation.
    :param losses: share of requests that get no answer, half of them uncounted.
    """

    governor: Governor
    work: int
    threads: int = 8
    latency: tuple[float, float] = (0.05, 0.3)
    begins: float = 0.0
    losses: float = 0.0
    busy: int = 0
    done_at: float = 0.0


class World:
    """Lets processes send to the server until the time is over or the work is done."""

    def __init__(self, server: Server, processes: list[Process], seed: int = 0) -> None:
        self.server, self.processes = server, processes
        self.now = START
        self._random = random.Random(seed)
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0

    def at(self, when: float, happen: Callable[[], None]) -> None:
        self._count += 1
        heapq.heappush(self._events, (when, self._count, happen))

    def run(self, seconds: float = 1e9) -> None:
        for process in self.processes:
            self.at(START + process.begins, partial(self._work, process))
        while self._events and self._events[0][0] <= START + seconds:
            self.now, _, happen = heapq.heappop(self._events)
            happen()

    def _work(self, process: Process) -> None:
        while process.work > process.busy and process.busy < process.threads:
            wait = process.governor.wait(self.now)
            if wait != 0:
                pause = PATIENCE if wait is None else max(wait, 1e-6)
                self.at(self.now + pause, lambda: self._work(process))
                return
            self._send(process)

    def _send(self, process: Process) -> None:
        permit = process.governor.send(self.now)
        process.busy += 1
        latency = self._random.uniform(*process.latency)
        there = self.now + latency * self._random.uniform(0.2, 0.8)
        lost = self._random.random() < process.losses
        is_counted = not lost or self._random.random() < 0.5

        def arrive() -> None:
            accepted, headers = self.server.answer(self.now) if is_counted else (False, {})
            self.at(sent + latency, lambda: come_back(accepted, headers))

        def come_back(accepted: bool, headers: dict[str, str]) -> None:
            process.busy -= 1
            if lost:
                process.governor.unanswered(permit)
            elif accepted:
                process.governor.answered(permit, headers, self.now)
                process.work -= 1
                process.done_at = self.now
            else:
                process.governor.refuse(permit, headers, self.now)
            self._work(process)

        sent = self.now
        self.at(there, arrive)
