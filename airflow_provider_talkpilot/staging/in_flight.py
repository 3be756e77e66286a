"""Requests in flight: threads that ask, and their answers in the order in which they were asked.

Waking a thread costs as much as an answer of a near server. So nobody is woken for one answer:
threads go on from call to call by themselves, and answers are taken by the bunch.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from threading import Condition
from types import TracebackType
from typing import Any, NamedTuple, Self

from airflow_provider_talkpilot.staging.enrich.plan import Wanted

# An answer keeps one processor busy for about this long: more requests in flight than answers come
# in one round trip only make threads wait for each other.
WORK_SECONDS = 0.001
LEAST_IN_FLIGHT = 4


class Answer(NamedTuple):
    """What came of one request.

    :param row: the detail's row; None for a call that vanished after it was listed.
    :param reject: in place of a row, a record that failed validation and why.
    :param drift: the detail's columns whose values did not fit.
    """

    row: dict[str, Any] | None
    reject: dict[str, Any] | None = None
    drift: Collection[str] = ()


class _Asked:
    """A request that was sent, and later its answer."""

    answer: Answer | None = None


class InFlight:
    """Asks for calls in threads. A context manager: its end waits for the answers on the way.

    :param fetch: asks for one call; whatever it raises ends the work.
    :param concurrency: requests in flight at most.
    :param most_rejects: after more than so many rejects nothing more is asked for.
    """

    def __init__(
        self, fetch: Callable[[Wanted], Answer], concurrency: int, most_rejects: int
    ) -> None:
        self._fetch, self._concurrency, self._most_rejects = fetch, concurrency, most_rejects
        self._changed = Condition()
        self._todo: deque[Wanted] = deque()
        self._asked: deque[_Asked] = deque()
        self._came = 0  # answers among them
        self._came_at = 0.0
        self._enough = 1  # answers for which the taker is woken
        self._rejects = self._threads = 0
        self._round_trip = math.inf
        self._failure: BaseException | None = None
        self._stopped = False
        self._pool = ThreadPoolExecutor(concurrency, thread_name_prefix="talkpilot")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.finish()

    def __len__(self) -> int:
        """Calls that are to be asked for, are asked for, or wait to be taken."""
        with self._changed:
            return len(self._todo) + len(self._asked)

    @property
    def most(self) -> int:
        """Requests in flight at most, as far as the round trip is known."""
        useful = LEAST_IN_FLIGHT + 1.5 * self._round_trip / WORK_SECONDS
        return int(min(self._concurrency, useful))

    def ask(self, calls: Iterable[Wanted]) -> None:
        """Ask for more calls, in this order; for none once it is stopped."""
        more = list(calls)
        with self._changed:
            if self._stopped:
                return
            self._todo.extend(more)
            most = LEAST_IN_FLIGHT if self._round_trip == math.inf else self.most
            self._start_threads(min(most, self._concurrency))

    def wait(self, enough: int, patience: Callable[[float], float]) -> bool:
        """Wait until the oldest is answered and so many in all, or all that were asked for.

        :param enough: how many.
        :param patience: seconds to wait, by the time of the last answer (monotonic).
        :return: False where patience ended first.
        """
        with self._changed:
            self._enough = max(1, enough)
            while not self._is_enough():
                seconds = patience(self._came_at)
                if seconds <= 0:
                    return False
                self._changed.wait(seconds)
            return True

    def is_over(self) -> bool:
        """Whether every call that was to be asked for is answered and taken.

        :raises BaseException: what ended the work instead.
        """
        with self._changed:
            if self._failure:
                raise self._failure
            return not self._todo and not self._asked

    def take(self, *, overtaking: bool = False) -> Answer | None:
        """Take the oldest request's answer; None while there is none.

        :param overtaking: take the first answer there is, though older requests have none.
        """
        with self._changed:
            for asked in self._asked:
                if asked.answer:
                    self._came -= 1
                    self._asked.remove(asked)
                    return asked.answer
                if not overtaking:
                    break
            return None

    def stop(self) -> None:
        """Ask for nothing more."""
        with self._changed:
            self._stopped = True
            self._todo.clear()

    def finish(self) -> None:
        """Ask for nothing more, and wait for the answers on the way."""
        self.stop()
        self._pool.shutdown()

    def _is_enough(self) -> bool:
        if self._failure or (self._came == len(self._asked) and not self._todo):
            return True
        return self._came >= self._enough and self._asked[0].answer is not None

    def _start_threads(self, most: int) -> None:
        """One for each call that waits: those that are there already have a call each."""
        for _ in range(min(most - self._threads, len(self._todo))):
            self._threads += 1
            self._pool.submit(self._work)

    def _work(self) -> None:
        """Ask for call after call, until there are no more or fewer threads are enough."""
        while next_one := self._next():
            call, asked = next_one
            began = time.monotonic()
            try:
                answer = self._fetch(call)
            except BaseException as error:  # noqa: BLE001  # raised where the answers are taken
                self._fail(asked, error)
            else:
                self._note(asked, answer, began)

    def _next(self) -> tuple[Wanted, _Asked] | None:
        with self._changed:
            if not self._todo or self._threads > self.most:
                self._threads -= 1
                return None
            asked = _Asked()
            self._asked.append(asked)
            return self._todo.popleft(), asked

    def _note(self, asked: _Asked, answer: Answer, began: float) -> None:
        now = time.monotonic()
        with self._changed:
            asked.answer = answer
            self._came += 1
            self._came_at = now
            self._round_trip = min(self._round_trip, now - began)
            if answer.reject:
                self._rejects += 1
                if self._rejects > self._most_rejects:
                    self.stop()
            # The first answer tells how many are useful.
            self._start_threads(self.most)
            if self._is_enough():
                self._changed.notify()

    def _fail(self, asked: _Asked, error: BaseException) -> None:
        with self._changed:
            self._asked.remove(asked)
            self._failure = self._failure or error
            self.stop()
            self._changed.notify()
