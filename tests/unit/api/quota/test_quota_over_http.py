"""The quota over real HTTP, with a minute of a few seconds. What counts is counted at the server.

The number of requests in a window does not depend on how fast this machine is, as long as a window
is long enough for its requests; so windows are whole seconds and requests few.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import get_args

import pytest
from airflow.providers.common.compat.sdk import ObjectStoragePath

from airflow_provider_talkpilot.api import Quota
from airflow_provider_talkpilot.api.errors import ClosedError, QuotaExhaustedError
from airflow_provider_talkpilot.sandbox import Sandbox
from airflow_provider_talkpilot.sandbox.eras import Windows
from airflow_provider_talkpilot.staging.ledger import StagedLedger
from tests.support.windows import long_window
from tests.unit.api.conftest import MakeClient
from tests.unit.api.quota.simulation import Server, SimulatedClock


class JumpingClock(SimulatedClock):
    """A clock that jumps to the end of a wait, unless a response ends the wait in real time."""

    def wait(self, condition: threading.Condition, seconds: float) -> None:
        until = self.time + seconds
        if not condition.wait(0.05):
            self.time = max(self.time, until)


@pytest.mark.parametrize("kind", get_args(Windows))
def test_tasks_one_after_the_other_use_the_hour_as_one(
    sandbox: Sandbox, make_client: MakeClient, tmp_path: Path, kind: Windows
) -> None:
    """Each has its own client and quota, and knows of the others through the ledger only."""
    sandbox.settings.patch(windows=kind, requests_per_hour=100, hour_seconds=long_window())
    ledger = ObjectStoragePath(tmp_path.as_uri())
    for most in (40, 30, 10**9):
        quota = Quota(max_wait=0, requests_per_hour=100, ledger=StagedLedger(ledger))
        client = make_client(quota=quota)
        try:
            for _ in range(most):
                client.agents()
        except QuotaExhaustedError:
            break
        finally:
            client.close()
    # No request is lost between them, and none refused.
    assert sandbox.counters["agents"] == 100
    assert sandbox.counters["refused"] == 0


def test_threads_wait_until_the_hour_ends(sandbox: Sandbox, make_client: MakeClient) -> None:
    sandbox.settings.patch(requests_per_hour=8, hour_seconds=2)
    client = make_client()
    with ThreadPoolExecutor(4) as pool:
        totals = list(pool.map(lambda _: len(client.agents()), range(15)))

    assert totals == [1] * 15
    # No thread sends again before the time that the refusal names. So at most the requests in
    # flight are refused when an hour's quota ends.
    assert client.refused == sandbox.counters["refused"] <= 4 * 3
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


@pytest.mark.parametrize("retry_after", [None, 0, -5])
def test_a_refusal_that_names_no_time_costs_one_request_a_try(
    sandbox: Sandbox, make_client: MakeClient, retry_after: int | None
) -> None:
    """dlt-hub/dlt#4036: Retry-After: 0 burned all tries within a moment."""
    sandbox.faults.add("rate_limited", times=2, retry_after=retry_after)
    clock = JumpingClock()
    started = clock.time
    assert len(make_client(quota=Quota(clock=clock)).agents()) == 1
    assert sandbox.counters["agents"] == 3
    assert clock.time - started >= 1 + 2


def test_a_wait_of_all_threads_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "airflow_provider_talkpilot")
    clock, limits, lock = JumpingClock(), Server(per_minute=10), threading.Lock()
    quota = Quota(clock=clock)

    def request(_: int) -> None:
        permit = quota.acquire()
        with lock:
            accepted, headers = limits.respond(clock.time)
        assert accepted
        quota.record_response(permit, headers)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(request, range(65)))

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
        for future in waiting:
            with pytest.raises(ClosedError):
                future.result(timeout=10)
    assert sandbox.counters["agents"] == 1
