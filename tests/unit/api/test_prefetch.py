"""Requests in flight: how many, in what order, and what ends them."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager
from threading import Barrier, Event
from typing import Any

import pytest

from airflow_provider_talkpilot.api import Quota, TalkPilotClient, errors, prefetch
from airflow_provider_talkpilot.api.client import PREFETCHED_PAGES
from airflow_provider_talkpilot.api.prefetch import Prefetch
from airflow_provider_talkpilot.api.quota import Permit
from airflow_provider_talkpilot.sandbox import Sandbox
from tests.unit.api.conftest import DAY, unlimited_quota

SECONDS = 10.0


def fetching(
    quota: Quota, before: Callable[[int], object] = lambda item: None
) -> Callable[[int, Permit], int]:
    """Return a fetch that does something, gives its permit back, and returns the item."""

    def fetch(item: int, permit: Permit) -> int:
        try:
            before(item)
        finally:
            quota.record_response(permit, {})
        return item

    return fetch


def test_results_come_in_order_and_so_many_at_once() -> None:
    quota, together = unlimited_quota(), Barrier(4, timeout=SECONDS)
    # Four are in flight, or nothing goes on.
    fetch = fetching(quota, lambda item: together.wait())
    with Prefetch(quota, fetch, range(40), size=4) as results:
        assert list(results) == [*range(40)]
    assert together.n_waiting == 0


def test_all_results_come_before_the_quota_is_waited_for() -> None:
    quota = Quota(requests_per_minute=3, max_wait=0)
    with Prefetch(quota, fetching(quota), range(9), size=4) as results:
        iterator = iter(results)
        assert [next(iterator) for _ in range(3)] == [0, 1, 2]
        with pytest.raises(errors.QuotaExhaustedError):
            next(iterator)


def test_an_error_comes_in_its_turn_and_costs_no_result() -> None:
    quota, fetched, failed = unlimited_quota(), list[int](), Event()

    def before(item: int) -> None:
        fetched.append(item)
        assert item <= 5 or failed.wait(SECONDS)  # in flight when the error comes
        if item == 5:
            raise ValueError(item)

    with Prefetch(quota, fetching(quota, before), range(99), size=4) as results:
        iterator = iter(results)
        assert [next(iterator) for _ in range(5)] == [0, 1, 2, 3, 4]
        with pytest.raises(ValueError, match="5"):
            next(iterator)
        failed.set()
        assert list(results.rest()) == [6, 7, 8]
    assert sorted(fetched) == list(range(9)), "nothing more was fetched"


def test_a_result_at_the_moment_when_patience_ends_comes_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    quota, let_go = unlimited_quota(), Event()

    def wait_in_vain(futures: list[Future[int]], seconds: float) -> Any:
        outcome = wait(futures, 0)
        let_go.set()
        wait(futures, SECONDS)
        return outcome

    monkeypatch.setattr(prefetch, "wait", wait_in_vain)
    fetch = fetching(quota, lambda item: item > 0 or let_go.wait(SECONDS))
    with Prefetch(quota, fetch, range(9), size=3, on_idle=lambda: None) as results:
        assert sorted(results) == [*range(9)]


def test_its_end_waits_for_requests_in_flight() -> None:
    quota, ended, let_go = unlimited_quota(), list[int](), Event()

    def before(item: int) -> None:
        assert item == 0 or let_go.wait(SECONDS)
        ended.append(item)

    with Prefetch(quota, fetching(quota, before), range(99), size=3) as results:
        assert next(iter(results)) == 0
        let_go.set()
    assert sorted(ended) == [0, 1, 2]


def many(sandbox: Sandbox, client: TalkPilotClient, pages: int) -> str:
    """An agent whose list has so many pages."""
    sandbox.reset(calls_per_day=100 * pages - 3, days=1)
    return client.agents()[0].id


@pytest.mark.parametrize("after", [1, 12])
@pytest.mark.parametrize(
    "fault",
    [{"fault": "cut"}, {"fault": "rate_limited", "retry_after": 0}],
    ids=lambda fault: fault["fault"],
)
def test_a_page_that_does_not_come_is_requested_again(
    sandbox: Sandbox, client: TalkPilotClient, fault: dict[str, Any], after: int
) -> None:
    agent = many(sandbox, client, 20)
    sandbox.faults.add(**fault, kind="calls", after=after)
    assert sum(len(page.records) for page in client.walk_calls(agent, DAY)) == 1_997
    assert sandbox.counters["calls"] == 21


def test_a_walk_that_is_left_sends_no_more(sandbox: Sandbox, client: TalkPilotClient) -> None:
    agent = many(sandbox, client, 20)
    pages = client.walk_calls(agent, DAY)
    next(pages)
    next(pages)
    pages.close()  # type: ignore[attr-defined]
    spent = sandbox.counters["calls"]
    assert spent <= 1 + PREFETCHED_PAGES + 1
    assert len(list(client.walk_calls(agent, DAY))) == 20
    assert sandbox.counters["calls"] == spent + 20


class OutOfTimeError(BaseException):
    """As Airflow ends a task that runs for too long."""


@contextmanager
def alarms() -> Iterator[None]:
    def end(*_: object) -> None:
        raise OutOfTimeError

    before = signal.signal(signal.SIGALRM, end)
    yield
    signal.signal(signal.SIGALRM, before)


def test_out_of_time_no_thread_goes_on_waiting_for_the_quota(
    sandbox: Sandbox, client: TalkPilotClient
) -> None:
    agent = many(sandbox, client, 20)
    sandbox.faults.add("rate_limited", kind="calls", after=1, retry_after=600, times=20)

    def soon_out_of_time(kind: str, count: int) -> None:
        if (kind, count) == ("calls", 2):
            signal.setitimer(signal.ITIMER_REAL, 0.5)

    sandbox.state.before_request = soon_out_of_time
    with alarms(), pytest.raises(OutOfTimeError):
        list(client.walk_calls(agent, DAY))
