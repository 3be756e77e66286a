"""The quota against a simulated server: never over the limit, never idle below it."""

from __future__ import annotations

import math
import random
from email.utils import formatdate
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_talkpilot.api import Quota
from airflow_provider_talkpilot.api.quota import LedgerEntry, Permit
from airflow_provider_talkpilot.api.quota.traffic import PATIENCE
from tests.unit.api.quota.simulation import (
    HOUR,
    MINUTE,
    START,
    Process,
    Server,
    SharedLedger,
    SimulatedClock,
    Windows,
    World,
)

ENDLESS = 10**9
FOUR = pytest.param(4, 0.011, marks=pytest.mark.slow)

windows = st.sampled_from(get_args(Windows))
latencies = st.sampled_from([(0.001, 0.01), (0.05, 0.3), (0.2, 1.5)])
seeds = st.integers(0, 10**6)


def world_of(
    server: Server,
    processes: int,
    latency: tuple[float, float] = (0.05, 0.3),
    seed: int = 0,
    *,
    ledger: SharedLedger | None = None,
    losses: float = 0.0,
    work: int = ENDLESS,
    **options: Any,
) -> World:
    """Return a world whose processes begin within half a minute, the first one at once."""
    chance, clock = random.Random(seed), SimulatedClock(seed)
    return World(
        server,
        [
            Process(
                Quota(clock=clock, ledger=ledger, **options),
                work,
                latency=latency,
                begins=chance.uniform(0, 30) if number else 0,
                losses=losses,
            )
            for number in range(processes)
        ],
        clock,
        seed,
    )


def share_refused(server: Server) -> float:
    return len(server.refused) / (len(server.refused) + len(server.accepted))


@pytest.mark.parametrize("counts_refused", [False, True])
@pytest.mark.parametrize(("processes", "most_refused"), [(1, 0.001), (2, 0.003), FOUR])
@pytest.mark.parametrize("kind", get_args(Windows))
def test_five_hours_of_the_default_limits_are_used(
    kind: Windows, processes: int, most_refused: float, counts_refused: bool
) -> None:
    # docs/quota.md has the figures of these.
    for seed in range(5):
        server = Server(windows=kind, per_hour=1000, counts_refused=counts_refused)
        world_of(server, processes, seed=seed, ledger=SharedLedger()).run(5 * HOUR)
        assert len(server.accepted) >= 0.98 * 5 * 1000
        assert share_refused(server) <= most_refused


servers = st.builds(
    Server,
    windows=windows,
    per_hour=st.just(1000),
    counts_refused=st.booleans(),
    offset=st.sampled_from([0.0, 0.4, 17.3, 42.0]),
    rounding=st.sampled_from([math.ceil, math.floor, float]),
    clock_skew=st.sampled_from([0.0, -0.7, 0.7, -30.0, 30.0]),
)


@pytest.mark.slow
@settings(max_examples=15)
@given(server=servers, processes=st.sampled_from([1, 2, 4]), latency=latencies, seed=seeds)
def test_two_hours_under_any_windows_and_clocks(
    server: Server, processes: int, latency: tuple[float, float], seed: int
) -> None:
    world_of(server, processes, latency, seed, ledger=SharedLedger()).run(2 * HOUR)
    counted = len(server.accepted) + len(server.refused) * server.counts_refused
    assert counted >= 0.97 * 2 * 1000
    # Each process can be refused a few times when it begins beside those that are at work.
    assert len(server.refused) <= 0.01 * max(1, processes / 2) * 2 * 1000 + 3 * (processes - 1)


@pytest.mark.parametrize("processes", [1, 4])
@pytest.mark.parametrize("kind", get_args(Windows))
def test_the_whole_minute_is_used_if_the_hour_has_no_limit(kind: Windows, processes: int) -> None:
    server = Server(windows=kind)
    world_of(server, processes, ledger=SharedLedger()).run(2 * HOUR)
    assert len(server.accepted) >= 0.97 * 60 * 120
    assert share_refused(server) <= 0.01


@settings(max_examples=25)
@given(kind=windows, latency=latencies, counts_refused=st.booleans(), seed=seeds)
def test_one_process_never_exceeds_the_minute_or_the_hour(
    kind: Windows, latency: tuple[float, float], counts_refused: bool, seed: int
) -> None:
    server = Server(windows=kind, per_hour=200, counts_refused=counts_refused)
    world_of(server, 1, latency, seed, requests_per_hour=200).run(3 * HOUR)
    assert server.refused == []
    assert server.most_in(MINUTE) == 60
    assert server.most_in(HOUR) == 200
    # When the hour is used up, requests wait until a batch of ten is free.
    assert 3 * 200 - 10 < len(server.accepted) <= 3 * 200


@pytest.mark.parametrize("kind", get_args(Windows))
def test_processes_share_the_minute_evenly(kind: Windows) -> None:
    server = Server(windows=kind)
    world = world_of(server, 3, ledger=SharedLedger())
    world.run(1 * HOUR)
    sent = [process.sent for process in world.processes]
    assert max(sent) <= 1.1 * min(sent)
    assert len(server.accepted) >= 0.8 * 60 * 60


def test_without_the_ledger_the_next_process_is_refused_once() -> None:
    server = Server(per_hour=1000)
    world = world_of(server, 2, requests_per_hour=1000)
    first, second = world.processes
    first.ends = second.begins = 17 * MINUTE
    world.run(17 * MINUTE + 4)
    assert len(server.accepted) == 1000
    assert len(server.refused) == 1
    wait = second.quota.try_acquire()
    assert not isinstance(wait, Permit)
    assert wait >= 4 * MINUTE


@pytest.mark.parametrize(("limit", "per_minute"), [(1300, 60), (10_000, 600)])
def test_a_higher_limit_of_the_hour_is_found_out(limit: int, per_minute: int) -> None:
    server = Server(per_minute=per_minute, per_hour=limit)
    world_of(server, 1).run(6 * HOUR)
    possible = min(6 * limit, 360 * per_minute)
    assert len(server.accepted) >= 0.95 * possible
    # Once an hour, and what is in flight then: at 600 a minute that is a few.
    assert len(server.refused) <= 6 * (1 if per_minute == 60 else 4)


@settings(max_examples=25)
@given(
    share=st.sampled_from([0.1, 0.25, 0.5, 0.8]),
    kind=windows,
    processes=st.integers(1, 3),
    seed=seeds,
)
def test_a_share_is_left_to_others_by_all_processes_together(
    share: float, kind: Windows, processes: int, seed: int
) -> None:
    server = Server(windows=kind)
    world_of(server, processes, seed=seed, share=share, ledger=SharedLedger()).run(20 * MINUTE)
    assert server.refused == []
    # The first request of a process leaves whatever the count; two can take the last one.
    assert server.most_in(MINUTE) <= 60 * share * (1 if processes == 1 else 1.5) + 2 * processes
    late = [moment for moment in server.accepted if moment > START + 5 * MINUTE]
    assert len(late) >= 0.97 * 14 * int(60 * share)


@pytest.mark.parametrize(("share", "most_refused"), [(1.0, None), (0.6, 0.02)])
@pytest.mark.parametrize("kind", get_args(Windows))
def test_other_software_on_the_key_is_seen(
    kind: Windows, share: float, most_refused: float | None
) -> None:
    """It sends 20 requests a minute; a share of the quota leaves room for them."""
    server = Server(windows=kind)
    world = world_of(server, 1, share=share)
    refused = 0

    def other(number: int) -> None:
        nonlocal refused
        refused += not server.respond(world.now)[0]
        world.at(START + 3 * (number + 1) + 0.7, lambda: other(number + 1))

    world.at(START, lambda: other(0))
    world.run(30 * MINUTE)
    (ours,) = world.processes
    assert ours.refused <= 0.02 * ours.sent
    assert most_refused is None or refused <= most_refused * 600
    # Both together use the share: we send no more than it leaves.
    assert len(server.accepted) >= 0.93 * int(60 * share) * 30


@given(kind=windows, seed=seeds)
def test_lost_responses_stop_no_process(kind: Windows, seed: int) -> None:
    server = Server(windows=kind)
    world = world_of(server, 1, seed=seed, losses=0.1, work=300)
    world.run()
    (process,) = world.processes
    assert process.work == 0
    # 300 responses, 10 % more lost: under 6 minutes' requests.
    assert process.done_at - START <= 7 * MINUTE
    assert len(server.refused) <= 2


def ledger_with(**fields: Any) -> SharedLedger:
    """Return a ledger in which another process has written an entry."""
    ledger = SharedLedger()
    others = {"writer": "other", "written_at": START, "slot_seconds": 10, "slots": {}}
    ledger.entries["other"] = LedgerEntry.model_validate(others | {"hour_limit": 1000} | fields)
    return ledger


def test_a_ledger_that_makes_no_sense_blocks_for_an_hour_at_most() -> None:
    ledger = ledger_with(refused_at=START, resume_at=START + 10**9, slots={10**12: 5, -5: 10**9})
    assert 0 < wait_of(Quota(clock=SimulatedClock(), ledger=ledger)) <= HOUR


def test_an_entry_from_the_future_is_ignored() -> None:
    """A machine whose clock is wrong must not hold up the others."""
    later = START + 86400
    ledger = ledger_with(written_at=later, refused_at=later, resume_at=START + 10**9)
    assert acquire(Quota(clock=SimulatedClock(), ledger=ledger))


@pytest.mark.parametrize(("limit", "ceiling"), [(10, None), (300, None), (300, 2000)])
@pytest.mark.parametrize("counts_refused", [False, True])
@pytest.mark.parametrize("kind", get_args(Windows))
def test_a_lower_limit_of_the_hour_is_found_out(
    kind: Windows, limit: int, ceiling: int | None, counts_refused: bool
) -> None:
    server = Server(windows=kind, per_hour=limit, counts_refused=counts_refused)
    world_of(server, 1, requests_per_hour=ceiling).run(6 * HOUR)
    assert len(server.accepted) + len(server.refused) * counts_refused >= 0.9 * 6 * limit
    # Four tries in the first hour, then one or two an hour.
    assert len(server.refused) <= 4 + 1.5 * 5


def test_an_hour_that_other_software_used_up_is_tried_again() -> None:
    """Its requests leave the hour long before ours do."""
    server = Server(per_hour=1000)
    world = world_of(server, 1)
    for second in range(950):
        server.respond(START + second)
    world.processes[0].begins = 50 * MINUTE
    world.run(100 * MINUTE)
    ours = [moment for moment in server.accepted if moment >= START + 50 * MINUTE]
    # 50 at once, and nearly all from the 60th minute on.
    assert len(ours) >= 800
    assert world.processes[0].refused <= 6


def headers(remaining: int, reset: float = START + 40, limit: int = 60) -> dict[str, str]:
    return {
        "X-RateLimit-Limit": str(limit),
        "X-RateLimit-Remaining": str(remaining),
        "X-RateLimit-Reset": f"{reset:.0f}",
    }


def acquire(quota: Quota) -> Permit:
    permit = quota.try_acquire()
    assert isinstance(permit, Permit), f"{permit} s to wait"
    return permit


def wait_of(quota: Quota) -> float:
    wait = quota.try_acquire()
    assert not isinstance(wait, Permit)
    return wait


@pytest.fixture
def clock() -> SimulatedClock:
    return SimulatedClock()


@pytest.fixture
def quota(clock: SimulatedClock) -> Quota:
    return Quota(clock=clock)


def test_one_request_goes_first_while_nothing_is_known(quota: Quota, clock: SimulatedClock) -> None:
    first = acquire(quota)
    clock.time = START + 1.9
    assert wait_of(quota) == PATIENCE
    clock.time = START + 2.1
    acquire(quota)  # the first one hangs
    quota.record_response(first, headers(59))
    acquire(quota)


# A fixed window must end, and the header has whole seconds. In a sliding one, our own request makes
# room when it is a minute old.
@pytest.mark.parametrize(("reset", "wait"), [(40, 40), (60, 59)])
def test_a_minute_that_other_software_used_up_ends_before_the_next_request(
    quota: Quota, clock: SimulatedClock, reset: float, wait: float
) -> None:
    first = acquire(quota)
    clock.time = START + 0.1
    quota.record_response(first, headers(0, START + reset))
    clock.time = START + 1
    assert wait_of(quota) == pytest.approx(wait, abs=0.5)
    clock.time = START + 2 + wait
    acquire(quota)


@pytest.mark.parametrize(
    ("value", "least", "most"),
    [
        ("5", 5, 5.5),
        ("0", 1, 1.5),
        ("-7", 1, 1.5),
        ("1.5", 1.5, 2),
        ("nan", 1, 1.5),
        ("soon", 1, 1.5),
        ("", 1, 1.5),
        ("1234", 1234, 1234.5),
        (formatdate(START + 90), 90, 90.5),
        # A whole minute or hour only names the limit. After an unexplained refusal of the hour, a
        # twelfth of it passes before the next request.
        ("60", 15, 15.5),
        ("3600", 300, 300.5),
        ("999999", 300, 300.5),
    ],
)
def test_retry_after_in_every_shape(quota: Quota, value: str, least: float, most: float) -> None:
    quota.record_refusal(acquire(quota), {"Retry-After": value})
    assert least <= wait_of(quota) <= most


def test_a_gateways_refusal_says_nothing_about_the_quota(clock: SimulatedClock) -> None:
    ledger = SharedLedger()
    quota = Quota(clock=clock, ledger=ledger)
    quota.record_response(acquire(quota), headers(59))
    # No refusal blocks for longer than an hour and a bit.
    for seconds, retry_after, wait in ((0, 60, 60), (70, 90, 90), (200, 10**6, 3900)):
        clock.time = START + seconds
        quota.record_refusal(acquire(quota), {"Retry-After": str(retry_after)})
        assert wait_of(quota) == pytest.approx(wait, abs=0.5)
        quota.sync_ledger(is_last=True)
        (entry,) = ledger.entries.values()
        assert entry.refused_at is None


def test_refusals_without_a_time_back_off(quota: Quota, clock: SimulatedClock) -> None:
    waits = []
    for _ in range(6):
        quota.record_refusal(acquire(quota), {})
        waits.append(wait_of(quota))
        clock.time += waits[-1]
    assert waits == [pytest.approx(2**n, abs=0.5) for n in range(6)]


@pytest.mark.parametrize(
    "wrong",
    [
        {"X-RateLimit-Remaining": "many"},
        {"X-RateLimit-Reset": "nan"},
        {"X-RateLimit-Reset": "1770000040000"},  # milliseconds
        {"X-RateLimit-Limit": "0"},
    ],
)
def test_unreadable_headers_are_as_good_as_none(quota: Quota, wrong: dict[str, str]) -> None:
    for _ in range(3):  # one is not enough: an error of the edge has no headers either
        quota.record_response(acquire(quota), headers(0) | wrong)
    for _ in range(100):
        acquire(quota)


def test_an_own_ceiling_holds_below_the_keys_limit(clock: SimulatedClock) -> None:
    quota = Quota(clock=clock, requests_per_minute=3, requests_per_hour=5)
    for _ in range(3):
        quota.record_response(acquire(quota), headers(50))
    assert wait_of(quota) == pytest.approx(60, abs=0.2)
    clock.time += 61
    for remaining in (59, 58):
        quota.record_response(acquire(quota), headers(remaining, clock.time + 40))
    assert wait_of(quota) == pytest.approx(3600 - 61, abs=20)


def test_an_hour_of_one_request_waits_for_its_response(clock: SimulatedClock) -> None:
    quota = Quota(clock=clock, requests_per_minute=60, requests_per_hour=1)
    permit = acquire(quota)
    assert wait_of(quota) < 60
    quota.record_response(permit, headers(59))
    assert wait_of(quota) == pytest.approx(3600, abs=20)
