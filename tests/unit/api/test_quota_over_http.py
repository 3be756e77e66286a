"""The quota over real HTTP, with a minute of a few seconds. What counts is counted at the server.

The number of requests in a window does not depend on how fast this machine is, as long as a window
is long enough for its requests; so windows are whole seconds and requests few.
"""

from __future__ import annotations

import logging
import math
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import get_args

import pytest

from airflow_provider_talkpilot.api import Quota
from airflow_provider_talkpilot.api.errors import (
    ClosedError,
    QuotaExhaustedError,
    RateLimitedError,
)
from airflow_provider_talkpilot.api.quota import Clock
from airflow_provider_talkpilot.sandbox import Sandbox
from airflow_provider_talkpilot.sandbox.eras import Windows
from airflow_provider_talkpilot.sandbox.limits import Verdict
from tests.support.windows import long_window
from tests.unit.api import quota_worker, simulation
from tests.unit.api.conftest import MakeClient

KINDS = get_args(Windows)
# A request every quarter of a second: a busy machine can do that.
MINUTE, LIMIT = 6.0, 24
MINUTES = 6
ENDLESS = 10**9


@dataclass
class Requests:
    """What the server accepted and refused of one key, by its own clock."""

    accepted: list[float] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)

    def settled(self) -> Requests:
        """Those of three whole minutes, after the two in which the processes start, and meet."""
        start = next(m for m in self.accepted if m > self.accepted[0] + 2 * MINUTE)
        end = start + 3 * MINUTE
        return Requests(
            *([m for m in some if start <= m < end] for some in (self.accepted, self.refused))
        )

    @property
    def used(self) -> float:
        """Part of three minutes' quota that was used."""
        return len(self.accepted) / (3 * LIMIT)


class Keys:
    """A sandbox whose keys have their requests counted where the server decides about them."""

    def __init__(self, sandbox: Sandbox, ledgers: Path) -> None:
        self._sandbox, self._ledgers = sandbox, ledgers
        self._requests: dict[str, Requests] = {}
        self._call = sandbox.truth("2026-03-16", "2026-03-17")[0]
        limiter = sandbox.state.limiter
        check = limiter.check

        def counting(key: str) -> Verdict:
            verdict = check(key)
            requests = self._requests[key]
            moments = requests.accepted if verdict.retry_after is None else requests.refused
            moments.append(verdict.moment)
            return verdict

        limiter.check = counting  # type: ignore[method-assign]

    def start(self, name: str) -> tuple[Requests, subprocess.Popen[str]]:
        """Start what makes processes on a key of their own, with a ledger that they share."""
        key, settings = self._sandbox.add_key(name), self._sandbox.settings
        requests = self._requests[key] = Requests()
        command = (
            *(sys.executable, quota_worker.__file__, self._sandbox.base_url, key),
            *(self._call["agent_id"], self._call["id"], f"file://{self._ledgers}/{name}"),
            *(str(settings.minute_seconds), str(settings.hour_seconds)),
        )
        worker = subprocess.Popen(
            command,
            cwd=Path(__file__).parents[3],
            env={**os.environ, "PYTHONPATH": "."},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return requests, worker


def hear(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    with process.stdout:
        return process.stdout.readline()


def say(process: subprocess.Popen[str], text: str) -> None:
    assert process.stdin is not None
    with process.stdin:
        process.stdin.write(text)


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[Windows, int], Requests]:
    """One, two and four processes at work, each group on a key of its own, at the same time."""
    started: dict[tuple[Windows, int], tuple[Requests, subprocess.Popen[str]]] = {}
    with ExitStack() as stack:
        for kind in KINDS:
            sandbox = stack.enter_context(
                Sandbox(
                    windows=kind,
                    days=1,
                    agents=1,
                    requests_per_minute=LIMIT,
                    requests_per_hour=None,
                    minute_seconds=MINUTE,
                    hour_seconds=60 * MINUTE,
                )
            )
            keys = Keys(sandbox, tmp_path_factory.mktemp("ledgers"))
            for processes in (1, 2, 4):
                started[kind, processes] = keys.start(str(processes))
        assert {hear(worker) for _, worker in started.values()} == {"ready\n"}
        until = time.time() + MINUTES * MINUTE
        for (_, processes), (_, worker) in started.items():
            say(worker, f"{processes} {ENDLESS} {until}\n")
        assert {worker.wait() for _, worker in started.values()} == {0}
    return {group: requests for group, (requests, _) in started.items()}


@pytest.mark.parametrize("kind", KINDS)
def test_one_process_uses_the_whole_minute_and_is_never_refused(
    measured: dict[tuple[Windows, int], Requests], kind: Windows
) -> None:
    assert measured[kind, 1].refused == []
    assert measured[kind, 1].settled().used >= 0.95


@pytest.mark.parametrize("processes", [2, 4])
@pytest.mark.parametrize("kind", KINDS)
def test_processes_on_one_key_share_its_quota(
    measured: dict[tuple[Windows, int], Requests], kind: Windows, processes: int
) -> None:
    settled = measured[kind, processes].settled()
    assert settled.used >= 0.93
    # In three minutes each of the others can be met once at the end of what is left.
    assert len(settled.refused) < processes


@pytest.mark.parametrize("kind", KINDS)
def test_tasks_one_after_the_other_use_the_hour_as_one(kind: Windows, tmp_path: Path) -> None:
    hour, limit = 16.0, 100
    with Sandbox(
        windows=kind,
        days=1,
        agents=1,
        requests_per_minute=40,
        requests_per_hour=limit,
        minute_seconds=2.0,
        hour_seconds=hour,
    ) as sandbox:
        requests, worker = Keys(sandbox, tmp_path).start("tasks")
        assert hear(worker) == "ready\n"
        # An hour's start, so that fixed windows allow as much as sliding ones.
        time.sleep(hour - time.time() % hour)
        end = time.time() + 2 * hour
        say(worker, "".join(f"1 {most} {end}\n" for most in (40, 30, ENDLESS)))
        assert worker.wait() == 0
    assert len(requests.accepted) >= 0.95 * 2 * limit
    # The third finds out, once an hour, that the key may send no more.
    assert len(requests.refused) <= 2


def test_the_hours_end_is_waited_for(sandbox: Sandbox, make_client: MakeClient) -> None:
    sandbox.settings.patch(requests_per_hour=8, hour_seconds=2)
    client = make_client()
    with ThreadPoolExecutor(4) as pool:
        totals = list(pool.map(lambda _: len(client.agents()), range(15)))

    assert totals == [1] * 15
    # Of one process nobody asks again before the time that the refusal names: what is refused is
    # at most what was in flight when an hour's quota ended.
    assert client.quota.refused == sandbox.counters["refused"] <= 4 * 3
    assert sandbox.counters["agents"] == 15 + sandbox.counters["refused"]


def test_a_long_wait_frees_the_caller(sandbox: Sandbox, make_client: MakeClient) -> None:
    hour = long_window()
    hour_end = (math.floor(time.time() / hour) + 1) * hour
    sandbox.settings.patch(windows="fixed", requests_per_hour=3, hour_seconds=hour)
    client = make_client(quota=Quota(max_wait=30))
    for _ in range(3):
        client.agents()
    with pytest.raises(QuotaExhaustedError, match="used up until") as caught:
        client.agents()
    # Retry-After is rounded up, and the wake-up is spread over half a second.
    assert timedelta(0) <= caught.value.resume_at - datetime.fromtimestamp(hour_end, UTC)
    assert caught.value.resume_at - datetime.fromtimestamp(hour_end, UTC) <= timedelta(seconds=3)

    before = sandbox.counters["agents"]
    for _ in range(3):
        with pytest.raises(QuotaExhaustedError):
            client.agents()
    assert sandbox.counters["agents"] == before == 4


def test_a_part_of_the_quota_is_left_to_others(sandbox: Sandbox, make_client: MakeClient) -> None:
    sandbox.settings.patch(requests_per_minute=20, minute_seconds=long_window())
    client = make_client(quota=Quota(share=0.5, max_wait=0))
    for _ in range(10):
        client.agents()
    with pytest.raises(QuotaExhaustedError):
        client.agents()
    assert sandbox.counters["agents"] == 10
    assert client.quota.refused == 0


def test_what_other_software_spends_is_seen(sandbox: Sandbox, make_client: MakeClient) -> None:
    sandbox.settings.patch(requests_per_minute=50, minute_seconds=long_window())
    client = make_client(quota=Quota(max_wait=0))
    client.agents()
    sandbox.spend(30)
    with pytest.raises(QuotaExhaustedError), ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: client.agents(), range(50)))
    assert client.quota.refused == 0
    # 19 were left; a few stay so, because others see the count as late as we do.
    assert 1 + 19 - 5 <= sandbox.counters["agents"] <= 1 + 19


@pytest.mark.parametrize("retry_after", [None, 0, -5])
def test_a_refusal_that_names_no_time_costs_one_request_a_try(
    sandbox: Sandbox, make_client: MakeClient, retry_after: int | None
) -> None:
    """dlt-hub/dlt#4036: Retry-After: 0 burned all tries within a moment."""
    sandbox.faults.add("rate_limited", times=2, retry_after=retry_after)
    client = make_client(quota=Quota(clock=FakeClock()))
    began = client.quota._clock.now()
    assert len(client.agents()) == 1
    assert sandbox.counters["agents"] == 3
    assert client.quota._clock.now() - began >= 1 + 2


def test_endless_refusals_end_in_an_error_that_says_what_to_do(
    sandbox: Sandbox, make_client: MakeClient
) -> None:
    sandbox.faults.add("rate_limited", times=100, retry_after=1)
    client = make_client(quota=Quota(clock=FakeClock()))
    with pytest.raises(RateLimitedError, match=r"part of the quota.*req_.*10 times") as caught:
        client.agents()
    assert caught.value.status == 429
    assert caught.value.code == "RATE_LIMITED"
    assert sandbox.counters["agents"] == 10


def test_without_rate_headers_nothing_is_held_back(
    sandbox: Sandbox, make_client: MakeClient
) -> None:
    sandbox.settings.rate_headers = False
    client = make_client(quota=Quota(max_wait=0))
    for _ in range(3):  # one by one: an error of the edge has no headers either
        client.agents()
    permits = [client.quota.acquire() for _ in range(100)]
    assert len(permits) == 100


def test_waiting_is_told_once_for_all_threads(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "airflow_provider_talkpilot")
    clock, limits, lock = FakeClock(), simulation.Server(per_minute=10), threading.Lock()
    quota = Quota(clock=clock)

    def request(_: int) -> None:
        permit = quota.acquire()
        with lock:
            accepted, headers = limits.answer(clock.now())
        assert accepted
        quota.record_response(permit, headers)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(request, range(65)))

    assert quota.refused == 0
    lines = [r.getMessage() for r in caplog.records if r.name.startswith("airflow_provider")]
    assert len(lines) == 1
    assert "quota is used up: waiting for it until" in lines[0]


def test_closing_the_quota_ends_every_wait(sandbox: Sandbox, make_client: MakeClient) -> None:
    sandbox.settings.patch(requests_per_minute=1, minute_seconds=long_window())
    client = make_client()
    client.agents()
    with ThreadPoolExecutor(4) as pool:
        waiting = [pool.submit(client.agents) for _ in range(4)]
        client.quota.close()
        for one in waiting:
            with pytest.raises(ClosedError):
                one.result(timeout=10)
    assert sandbox.counters["agents"] == 1


class FakeClock(Clock):
    """A clock that jumps to the end of every wait for which nobody is in the way."""

    def __init__(self) -> None:
        self._ahead = 0.0
        self._lock = threading.Lock()

    def now(self) -> float:
        return 1_773_619_201.0 + self._ahead

    def wait(self, condition: threading.Condition, seconds: float) -> None:
        # An answer in flight comes in real time, and ends the wait.
        until = self.now() + seconds
        if not condition.wait(0.05):
            with self._lock:
                self._ahead = max(self._ahead, until - 1_773_619_201.0)
