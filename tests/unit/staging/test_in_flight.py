"""Requests in flight: their number, their order, and what ends them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import UTC, datetime
from threading import Barrier, Event, Lock, get_ident

import pytest

from airflow_provider_talkpilot.staging import in_flight
from airflow_provider_talkpilot.staging.enrich.plan import Wanted
from airflow_provider_talkpilot.staging.in_flight import LEAST_IN_FLIGHT, Answer, InFlight

SECONDS = 10.0
FOREVER = 10_000_000.0


def calls(numbers: Iterable[int]) -> list[Wanted]:
    now = datetime.now(UTC)
    return [Wanted(str(number), "agent", now, now, False) for number in numbers]


def answer(call: Wanted) -> Answer:
    return Answer({"id": int(call.id)})


def patience(came_at: float) -> float:
    return SECONDS


def take_all(asked: InFlight, *, overtaking: bool = False) -> list[int]:
    taken = []
    while found := asked.take(overtaking=overtaking):
        assert found.row
        taken.append(found.row["id"])
    return taken


class Gauge:
    """Counts the requests in flight at the same time."""

    def __init__(self) -> None:
        self.now = self.peak = self.ever = 0
        self._lock = Lock()

    def __enter__(self) -> int:
        with self._lock:
            self.ever += 1
            self.now += 1
            self.peak = max(self.peak, self.now)
            return self.ever

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self.now -= 1


def test_calls_that_come_later_do_not_wait_for_those_in_flight() -> None:
    begun, others = Barrier(3, timeout=SECONDS), Barrier(LEAST_IN_FLIGHT, timeout=SECONDS)

    def fetch(call: Wanted) -> Answer:
        if call.id in ("0", "1"):
            begun.wait()
        others.wait()
        return answer(call)

    with InFlight(fetch, LEAST_IN_FLIGHT, most_rejects=0) as asked:
        asked.ask(calls(range(2)))
        begun.wait()
        asked.ask(calls(range(2, LEAST_IN_FLIGHT)))
        assert asked.wait(LEAST_IN_FLIGHT, patience)
        assert take_all(asked) == list(range(LEAST_IN_FLIGHT))


def test_answers_are_taken_in_the_order_in_which_they_were_asked() -> None:
    others = Barrier(2, timeout=SECONDS)

    def fetch(call: Wanted) -> Answer:
        if call.id in ("3", "4"):
            others.wait()  # 3 is answered when 4 is asked for
        return answer(call)

    with InFlight(fetch, 2, most_rejects=0) as asked:
        asked.ask(calls(range(100)))
        taken: list[int] = []
        while not asked.is_over():
            assert asked.wait(10, patience)
            taken += take_all(asked)
    assert taken == list(range(100))


def test_one_that_waits_is_overtaken_when_told() -> None:
    let_go = Event()

    def fetch(call: Wanted) -> Answer:
        assert call.id != "1" or let_go.wait(SECONDS)
        return answer(call)

    with InFlight(fetch, 4, most_rejects=0) as asked:
        asked.ask(calls(range(4)))
        assert asked.wait(3, patience)
        assert take_all(asked) == [0]
        # 2 and 3 are answered; 1 holds them back until patience ends.
        assert not asked.wait(3, lambda came_at: -1.0)
        assert take_all(asked) == []
        assert take_all(asked, overtaking=True) == [2, 3]
        let_go.set()
        assert asked.wait(3, patience)
        assert take_all(asked) == [1]
        assert asked.is_over()


@pytest.mark.parametrize("concurrency", [1, 3])
def test_so_many_at_once_and_no_more(concurrency: int) -> None:
    gauge, together = Gauge(), Barrier(concurrency, timeout=SECONDS)

    def fetch(call: Wanted) -> Answer:
        with gauge:
            together.wait()
            return answer(call)

    with InFlight(fetch, concurrency, most_rejects=0) as asked:
        asked.ask(calls(range(30)))
        assert asked.wait(30, patience)
        assert take_all(asked) == list(range(30))
    assert gauge.peak == concurrency


def test_a_far_server_soon_has_as_many_as_are_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(in_flight, "WORK_SECONDS", 1e-12)
    gauge, together = Gauge(), Barrier(16, timeout=SECONDS)

    def fetch(call: Wanted) -> Answer:
        with gauge as number:
            if number > 16:  # by then, answers have come
                together.wait()
            return answer(call)

    with InFlight(fetch, 16, most_rejects=0) as asked:
        asked.ask(calls(range(96)))
        assert asked.wait(96, patience)
        assert take_all(asked) == list(range(96))
    assert gauge.peak == 16


def test_a_near_server_keeps_few_threads_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(in_flight, "WORK_SECONDS", FOREVER)
    gauge = Gauge()

    def fetch(call: Wanted) -> Answer:
        with gauge:
            return answer(call)

    with InFlight(fetch, 32, most_rejects=0) as asked:
        assert asked.most == 32, "nothing is known yet"
        asked.ask(calls(range(90)))
        assert asked.wait(90, patience)
        assert asked.most == LEAST_IN_FLIGHT
    assert gauge.peak <= LEAST_IN_FLIGHT


def test_the_taker_is_woken_once_a_bunch() -> None:
    woken_by: list[float] = []

    def count(came_at: float) -> float:
        woken_by.append(came_at)
        return SECONDS

    with InFlight(answer, 4, most_rejects=0) as asked:
        asked.ask(calls(range(90)))
        assert asked.wait(90, count)
        assert take_all(asked) == list(range(90))
    assert len(woken_by) <= 1


def test_what_a_thread_raises_ends_the_work_and_keeps_what_came() -> None:
    def fetch(call: Wanted) -> Answer:
        if call.id == "5":
            raise ValueError(call.id)
        return answer(call)

    with InFlight(fetch, 1, most_rejects=0) as asked:
        asked.ask(calls(range(30)))
        assert asked.wait(30, patience)
        with pytest.raises(ValueError, match="5"):
            asked.is_over()
        asked.ask(calls(range(30, 40)))
        asked.finish()
        assert take_all(asked, overtaking=True) == [0, 1, 2, 3, 4]
        assert len(asked) == 0, "nothing more was asked for"


def test_the_last_one_that_fails_is_not_overlooked() -> None:
    def fetch(call: Wanted) -> Answer:
        raise ValueError(call.id)

    with InFlight(fetch, 1, most_rejects=0) as asked:
        asked.ask(calls([7]))
        assert asked.wait(1, patience)
        assert take_all(asked) == []
        with pytest.raises(ValueError, match="7"):
            asked.is_over()


def test_the_first_error_is_the_one_that_is_raised() -> None:
    both, let_go = Barrier(2, timeout=SECONDS), Event()

    def fetch(call: Wanted) -> Answer:
        both.wait()
        assert call.id == "0" or let_go.wait(SECONDS)
        raise ValueError(call.id)

    with InFlight(fetch, 2, most_rejects=0) as asked:
        asked.ask(calls(range(2)))
        assert asked.wait(2, patience)
        let_go.set()
        asked.finish()
        with pytest.raises(ValueError, match="0"):
            asked.is_over()


def test_many_rejects_end_it_without_an_error() -> None:
    with InFlight(lambda call: Answer(None, {"id": call.id}), 1, most_rejects=5) as asked:
        asked.ask(calls(range(30)))
        assert asked.wait(30, patience)
        rejects = []
        while found := asked.take():
            rejects.append(found.reject)
        assert len(rejects) == 6
        assert asked.is_over()


def test_its_end_waits_for_what_is_on_the_way() -> None:
    begun, let_go = Event(), Event()
    threads = set()

    def fetch(call: Wanted) -> Answer:
        threads.add(get_ident())
        begun.set()
        assert let_go.wait(SECONDS)
        return answer(call)

    with InFlight(fetch, 1, most_rejects=0) as asked:
        asked.ask(calls(range(10)))
        assert begun.wait(SECONDS)
        asked.stop()
        let_go.set()
        asked.finish()
        assert take_all(asked) == [0]
    assert get_ident() not in threads


def test_nothing_to_ask_is_over_at_once() -> None:
    with InFlight(answer, 4, most_rejects=0) as asked:
        asked.ask([])
        assert asked.is_over()
        assert asked.most == min(4, math.inf)
