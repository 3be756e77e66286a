"""The governor against a simulated server: never over the limit it knows, never idle below it."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_talkpilot.api.governor import Budget, Governor
from tests.unit.api.simulation import HOUR, MINUTE, START, Process, Server, World

ENDLESS = 10**9

servers = st.builds(
    Server,
    per_minute=st.sampled_from([30, 60, 100, 600]),
    offset=st.sampled_from([0.0, 0.4, 17.3, 42.0]),
    rounding=st.sampled_from(["up", "down", "none"]),
    counts_refused=st.booleans(),
    clock_ahead=st.sampled_from([0.0, 0.0, -0.7, 0.7, -30.0, 30.0]),
)
latencies = st.sampled_from([(0.001, 0.01), (0.05, 0.3), (0.2, 1.5)])


def world_of(
    server: Server,
    threads: list[int],
    latency: tuple[float, float],
    seed: int,
    *,
    share: float = 1.0,
    losses: float = 0.0,
    work: int = ENDLESS,
) -> World:
    """Processes with so many threads each that begin within half a minute."""
    chance = random.Random(seed)
    processes = [
        Process(
            Governor(share=share, jitter=random.Random(seed + number)),
            work,
            count,
            latency,
            begins=chance.uniform(0, 30),
            losses=losses,
        )
        for number, count in enumerate(threads)
    ]
    return World(server, processes, seed)


def whole_windows(server: Server) -> list[int]:
    """Windows with work from begin to end, after the one in which the processes met."""
    return sorted(server.accepted)[2:-1]


@given(server=servers, threads=st.integers(1, 16), latency=latencies, seed=st.integers(0, 10**6))
def test_alone_it_uses_every_window_whole_and_is_not_refused(
    server: Server, threads: int, latency: tuple[float, float], seed: int
) -> None:
    possible = 50 * threads / latency[1]  # in 50 seconds of the 60
    server.per_minute = min(server.per_minute, int(possible))
    world_of(server, [threads], latency, seed).run(8 * MINUTE)

    # Below the first windows lies what was to be learned: an end that is later than the header
    # says costs a refusal for each second, once.
    late = {"up": 0, "none": 0, "down": 1}[server.rounding] + (server.clock_ahead == -0.7)
    assert server.refused.total() <= late
    learned = whole_windows(server)[late:]
    assert [server.accepted[window] for window in learned] == [server.per_minute] * len(learned)


@given(
    server=servers,
    threads=st.lists(st.integers(1, 8), min_size=2, max_size=4),
    latency=latencies,
    seed=st.integers(0, 10**6),
)
def test_processes_on_one_key_use_nearly_all_and_are_rarely_refused(
    server: Server, threads: list[int], latency: tuple[float, float], seed: int
) -> None:
    server.clock_ahead = 0.0  # a process that comes late to each window finds it used up
    world_of(server, threads, latency, seed).run(8 * MINUTE)
    windows = whole_windows(server)

    # At worst one a process in a window, when it meets those who came first or errs at the end.
    assert max(server.refused.values(), default=0) <= 2 * len(threads)
    refused = sum(server.refused[window] for window in windows)
    assert refused <= 0.02 * server.per_minute * len(windows) + len(threads)
    used = sum(server.accepted[window] for window in windows)
    possible = min(server.per_minute, int(40 * sum(threads) / latency[1]))
    assert used >= 0.9 * possible * len(windows)


@pytest.mark.parametrize(("processes", "most_refused"), [(2, 0.005), (3, 0.005), (4, 0.005)])
def test_on_average_a_key_of_the_default_limit_is_used_well(
    processes: int, most_refused: float
) -> None:
    accepted = refused = windows = 0
    for seed in range(20):
        server = Server()
        world_of(server, [8] * processes, (0.05, 0.3), seed).run(12 * MINUTE)
        whole = whole_windows(server)
        windows += len(whole)
        accepted += sum(server.accepted[window] for window in whole)
        refused += server.refused.total()
    assert accepted / (60 * windows) >= 0.97
    assert refused / accepted <= most_refused


@given(
    share=st.sampled_from([0.1, 0.25, 0.5, 0.8]),
    threads=st.lists(st.integers(1, 8), min_size=1, max_size=3),
    seed=st.integers(0, 10**6),
)
def test_a_share_is_left_to_others_by_all_processes_together(
    share: float, threads: list[int], seed: int
) -> None:
    server = Server()
    world_of(server, threads, (0.05, 0.3), seed, share=share).run(6 * MINUTE)
    assert server.refused.total() == 0
    # Each process asks once a window whatever the count, and counts are a moment old.
    assert max(server.accepted.values()) <= 60 * share + 2 * len(threads)
    assert min(server.accepted[w] for w in whole_windows(server)) >= int(60 * share)


@given(
    threads=st.lists(st.integers(1, 8), min_size=1, max_size=4),
    counts_refused=st.booleans(),
    seed=st.integers(0, 10**6),
)
def test_the_hours_limit_costs_each_process_no_more_than_it_has_in_flight(
    threads: list[int], counts_refused: bool, seed: int
) -> None:
    server = Server(per_hour=200, counts_refused=counts_refused)
    world_of(server, threads, (0.05, 0.3), seed).run(3 * HOUR)
    hours = sorted(server.accepted_in_hour)
    assert server.by_hour_limit <= len(hours) * sum(threads)
    # After the wait the next hour's quota is used, too.
    assert [server.accepted_in_hour[hour] for hour in hours[:-1]] == [200] * len(hours[:-1])


@given(threads=st.integers(1, 8), seed=st.integers(0, 10**6))
def test_lost_answers_stop_nobody(threads: int, seed: int) -> None:
    server = Server()
    world = world_of(server, [threads], (0.05, 0.3), seed, losses=0.1, work=300)
    world.run()
    (process,) = world.processes
    assert process.work == 0
    # 300 answers, 10 % lost of which the server counted half: 6 windows at most, and one to begin.
    assert process.done_at - START <= 9 * MINUTE
    assert server.refused.total() <= 2


def headers(remaining: int, reset: float = START + 40, limit: int = 60) -> dict[str, str]:
    return {
        "X-RateLimit-Limit": str(limit),
        "X-RateLimit-Remaining": str(remaining),
        "X-RateLimit-Reset": f"{reset:.0f}",
    }


def test_one_request_asks_while_nothing_is_known() -> None:
    governor = Governor()
    assert governor.wait(START) == 0
    asking = governor.send(START)
    assert governor.wait(START) is None
    governor.answered(asking, headers(59), START + 0.1)
    assert governor.wait(START + 0.1) == 0


def test_another_one_asks_when_the_first_hangs() -> None:
    governor = Governor()
    governor.send(START)
    assert governor.wait(START + 1.9) is None
    assert governor.wait(START + 2.1) == 0


def test_an_old_request_that_hangs_does_not_hold_up_the_next_minute() -> None:
    governor = Governor()
    governor.answered(governor.send(START), headers(59), START + 0.1)
    governor.send(START + 1)  # gets no answer for a long time
    governor.answered(governor.send(START + 39), headers(0), START + 39.1)
    assert governor.wait(START + 40) == 0


def test_refusals_in_flight_together_count_as_one() -> None:
    governor = Governor()
    governor.answered(governor.send(START), headers(59), START)
    permits = [governor.send(START) for _ in range(5)]
    waits = [governor.refuse(permit, {"Retry-After": "3"}, START) for permit in permits]
    assert max(waits) <= 3.5
    assert governor.refused == 5
    # Then one asks for all.
    assert governor.wait(START + 4) == 0
    governor.send(START + 4)
    assert governor.wait(START + 4) is None


def test_an_edge_error_does_not_open_the_gates() -> None:
    governor = Governor()
    governor.answered(governor.send(START), headers(1), START)
    governor.answered(governor.send(START), {}, START)  # a 502 of the edge has no headers
    assert governor.wait(START) in (None, 0)
    governor.answered(governor.send(START), headers(0), START)
    assert governor.wait(START) == 40


def test_an_hours_refusal_is_no_reason_to_distrust_the_minutes_end() -> None:
    governor = Governor()
    governor.answered(governor.send(START), headers(59), START)
    governor.refuse(governor.send(START), {**headers(58), "Retry-After": "20"}, START)
    assert 20 <= (governor.wait(START) or 0) <= 20.5
    governor.answered(governor.send(START + 21), headers(0), START + 21)
    assert governor.wait(START + 21) == 19


@pytest.mark.parametrize(
    ("value", "least", "most"),
    [
        ("5", 5, 5.5),
        ("0", 1, 1.5),
        ("-7", 1, 1.5),
        ("1.5", 1.5, 2),
        ("nan", 1, 1.5),
        ("inf", 1, 1.5),
        ("soon", 1, 1.5),
        ("", 1, 1.5),
        ("999999", 3900, 3900.5),
        ("Mon, 02 Feb 2026 02:41:00 GMT", 60, 60.5),
        ("Mon, 02 Feb 2026 02:41:00 -0000", 60, 60.5),
        ("Mon, 02 Feb 2026 00:00:00 GMT", 1, 1.5),
        ("Mon, 99 Feb 2026 00:00:00 GMT", 1, 1.5),
    ],
)
def test_retry_after_in_every_shape(value: str, least: float, most: float) -> None:
    governor = Governor()
    now = 1_770_000_000.0  # Mon, 02 Feb 2026 02:40:00 GMT
    assert least <= governor.refuse(governor.send(now), {"Retry-After": value}, now) <= most


@pytest.mark.parametrize(
    "wrong",
    [
        {"X-RateLimit-Remaining": "many"},
        {"X-RateLimit-Reset": "nan"},
        {"X-RateLimit-Reset": "inf"},
        {"X-RateLimit-Reset": "1770000040000"},  # milliseconds
        {"X-RateLimit-Limit": ""},
    ],
)
def test_unreadable_headers_are_as_good_as_none(wrong: dict[str, str]) -> None:
    governor = Governor()
    for _ in range(3):
        assert governor.wait(START) == 0
        governor.answered(governor.send(START), headers(0) | wrong, START)
    assert governor.wait(START) == 0


def test_an_own_ceiling_holds_below_the_keys_limit() -> None:
    governor = Governor(budgets=[Budget(3, 60), Budget(5, 3600)])
    now = START
    for _ in range(3):
        assert governor.wait(now) == 0
        governor.answered(governor.send(now), headers(50), now)
    assert governor.wait(now) == 60
    now += 60
    for remaining in (59, 58):
        assert governor.wait(now) == 0
        governor.answered(governor.send(now), headers(remaining, START + 100), now)
    assert governor.wait(now) == 3540
