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
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from airflow_provider_talkpilot.api import Quota
from airflow_provider_talkpilot.api.errors import (
    ClosedError,
    QuotaExhaustedError,
    RateLimitedError,
)
from airflow_provider_talkpilot.api.quota import Clock
from airflow_provider_talkpilot.sandbox import Sandbox
from airflow_provider_talkpilot.sandbox.limits import Verdict
from tests.support.windows import long_window
from tests.unit.api import quota_worker, simulation
from tests.unit.api.conftest import MakeClient

WINDOW = 3
LIMIT = 60
WINDOWS = 4


class Windows:
    """What the server accepted and refused of one key, by window."""

    def __init__(self) -> None:
        self.accepted: Counter[int] = Counter()
        self.refused: Counter[int] = Counter()

    @property
    def whole(self) -> list[int]:
        """Accepted requests of the windows in which there was work from begin to end."""
        return [self.accepted[window] for window in sorted(self.accepted)[1:-1]]

    @property
    def share_refused(self) -> float:
        return self.refused.total() / (self.refused.total() + self.accepted.total())


def hear(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    with process.stdout:
        return process.stdout.readline()


def say(process: subprocess.Popen[str], text: str) -> None:
    assert process.stdin is not None
    with process.stdin:
        process.stdin.write(text)


@pytest.fixture(scope="module")
def measured() -> dict[int, Windows]:
    """One, two and four processes at work, each group on a key of its own, at the same time."""
    by_processes = {number: Windows() for number in (1, 2, 4)}
    with Sandbox(
        windows="fixed",
        days=1,
        agents=1,
        requests_per_minute=LIMIT,
        requests_per_hour=None,
        minute_seconds=WINDOW,
    ) as sandbox:
        keys = {number: sandbox.add_key(str(number)) for number in by_processes}
        windows_of = {keys[number]: windows for number, windows in by_processes.items()}
        limiter = sandbox.state.limiter
        check = limiter.check

        def counting(key: str) -> Verdict:
            # Counted where the server itself decides in which window a request falls.
            verdict = check(key)
            windows = windows_of[key]
            counter = windows.accepted if verdict.retry_after is None else windows.refused
            counter[math.floor(verdict.moment / WINDOW)] += 1
            return verdict

        limiter.check = counting  # type: ignore[method-assign]
        call = sandbox.truth("2026-03-16", "2026-03-17")[0]
        running = [
            subprocess.Popen(
                [
                    *(sys.executable, quota_worker.__file__, sandbox.base_url, keys[number]),
                    *(call["agent_id"], call["id"]),
                ],
                cwd=Path(__file__).parents[3],
                env={**os.environ, "PYTHONPATH": "."},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for number in by_processes
            for _ in range(number)
        ]
        assert [hear(process) for process in running] == ["ready\n"] * len(running)
        # The middle of a window, so that the last one is not taken for a whole one.
        until = (math.floor(time.time() / WINDOW) + 1 + WINDOWS + 0.5) * WINDOW
        for process in running:
            say(process, f"{until}\n")
        assert [process.wait() for process in running] == [0] * len(running)
    return by_processes


def test_one_process_uses_the_whole_quota_and_is_never_refused(
    measured: dict[int, Windows],
) -> None:
    windows = measured[1]
    assert len(windows.whole) >= WINDOWS - 1  # the first may have begun too late to be whole
    assert set(windows.whole) == {LIMIT}
    assert windows.refused.total() == 0


@pytest.mark.parametrize(("processes", "most_refused"), [(2, 0.01), (4, 0.02)])
def test_processes_on_one_key_share_its_quota(
    measured: dict[int, Windows], processes: int, most_refused: float
) -> None:
    windows = measured[processes]
    assert len(windows.whole) >= WINDOWS - 1  # the first may have begun too late to be whole
    assert sum(windows.whole) >= 0.95 * LIMIT * len(windows.whole)
    assert windows.share_refused <= most_refused


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
        quota.answered(permit, headers)

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
