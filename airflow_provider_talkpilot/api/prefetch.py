"""A bounded number of requests in flight, and their results in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from itertools import islice
from typing import Generic, Self, TypeVar

from airflow_provider_talkpilot.api.quota import Permit, Quota

Item = TypeVar("Item")
Result = TypeVar("Result")

# If no result comes for this long, the quota is used up or the server is slow.
IDLE_SECONDS = 5.0


class Prefetch(Generic[Item, Result]):
    """Fetches items in threads; iterate over it for the results, in the items' order.

    A context manager, whose end waits for the requests in flight. It submits an item only with a
    permit of the quota. If the quota has no permit, it yields all results in flight before it
    waits for one. It raises an error of ``fetch`` in place of that item's result.

    :param quota: gives the permits.
    :param fetch: fetches an item with a permit, in a thread.
    :param items: what to fetch; read no further than needed.
    :param size: at most this many items are in flight.
    :param on_idle: called when the next result takes more than ``IDLE_SECONDS``. Before the call,
        the results of later items that are finished are yielded, out of their order.
    """

    def __init__(
        self,
        quota: Quota,
        fetch: Callable[[Item, Permit], Result],
        items: Iterable[Item],
        size: int,
        on_idle: Callable[[], None] | None = None,
    ) -> None:
        self._quota, self._fetch, self._size, self._on_idle = quota, fetch, size, on_idle
        self._items = iter(items)
        self._next: Item | None = None  # read from the items, not submitted yet
        self._in_flight: deque[Future[Result]] = deque()
        self._pool = ThreadPoolExecutor(size, thread_name_prefix="talkpilot")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, error_type: type[BaseException] | None, *_: object) -> None:
        if error_type and not issubclass(error_type, Exception | GeneratorExit):
            # The task is killed or out of time: no thread may go on waiting for the quota.
            self._quota.close()
        self._pool.shutdown()

    def __iter__(self) -> Iterator[Result]:
        while self._submit():
            next_one = self._in_flight[0]
            if self._on_idle and wait([next_one], IDLE_SECONDS).not_done:
                yield from self._finished_later_ones()
                self._on_idle()
            next_one.exception()  # wait for it: if that is interrupted, it stays in flight
            yield self._in_flight.popleft().result()

    def rest(self) -> Iterator[Result]:
        """Submit nothing more; yield the results of the requests in flight, without errors."""
        self._items, self._next = iter(()), None
        while self._in_flight:
            future = self._in_flight.popleft()
            if future.exception() is None:
                yield future.result()

    def _finished_later_ones(self) -> Iterator[Result]:
        """Yield the results behind the next one, which may be finished by now but has its turn."""
        for future in [*islice(self._in_flight, 1, None)]:
            if future.done() and not future.exception():
                self._in_flight.remove(future)
                yield future.result()

    def _submit(self) -> bool:
        """Submit as many items as the quota allows; return whether any is in flight."""
        while len(self._in_flight) < self._size:
            # Read the item before the permit: each permit must be used.
            self._next = next(self._items, None) if self._next is None else self._next
            if self._next is None:
                break
            permit = self._quota.try_acquire()
            if not isinstance(permit, Permit):
                if self._in_flight:
                    break
                if self._on_idle and permit > IDLE_SECONDS:
                    self._on_idle()
                permit = self._quota.acquire()
            self._in_flight.append(self._pool.submit(self._fetch, self._next, permit))
            self._next = None
        return bool(self._in_flight)
