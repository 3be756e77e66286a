"""A bounded number of requests in flight, and their results in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Generic, Self, TypeVar

from airflow_provider_talkpilot.api.quota import Permit, Quota

Item = TypeVar("Item")
Result = TypeVar("Result")

# No result has come for so long: the quota is used up, or the server is slow.
IDLE_SECONDS = 5.0


class Prefetch(Generic[Item, Result]):
    """Fetches items in threads; iterate over it for their results, in the items' order.

    A context manager, whose end waits for the requests in flight. No item is submitted without a
    permit of the quota. Where the quota has none, all results in flight come first; only then is it
    waited for. An error of ``fetch`` is raised where its result would have come.

    :param fetch: fetches an item with a permit, in a thread.
    :param items: what to fetch; read no further than needed.
    :param size: items in flight at most.
    :param on_idle: called where the next result takes more than ``IDLE_SECONDS``. Before it, the
        results that came meanwhile are given, out of their order.
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
        self._next: Item | None = None  # read already, and not submitted yet
        self._flight: deque[Future[Result]] = deque()
        self._pool = ThreadPoolExecutor(size, thread_name_prefix="talkpilot")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind and not issubclass(kind, Exception | GeneratorExit):
            # The task is killed or out of time: no thread may go on waiting for the quota.
            self._quota.close()
        self._pool.shutdown()

    def __iter__(self) -> Iterator[Result]:
        while self._submit():
            future = self._flight[0]
            if self._on_idle and wait([future], IDLE_SECONDS).not_done:
                yield from self._overtaking()
                self._on_idle()
            try:
                result = future.result()
            finally:
                if future.done():  # not where the wait for it was interrupted
                    self._flight.popleft()
            yield result

    def rest(self) -> Iterator[Result]:
        """Submit nothing more; give what comes of the requests in flight, without their errors."""
        self._items, self._next = iter(()), None
        while self._flight:
            future = self._flight.popleft()
            if future.exception() is None:
                yield future.result()

    def _overtaking(self) -> Iterator[Result]:
        for future in [each for each in self._flight if each.done() and not each.exception()]:
            self._flight.remove(future)
            yield future.result()

    def _submit(self) -> bool:
        """Fill the window as far as the quota allows; say whether anything is in flight."""
        while len(self._flight) < self._size:
            # Read before a permit is taken, for no permit may be left over.
            self._next = next(self._items, None) if self._next is None else self._next
            if self._next is None:
                break
            permit = self._quota.try_acquire()
            if not isinstance(permit, Permit):
                if self._flight:
                    break
                if self._on_idle and permit > IDLE_SECONDS:
                    self._on_idle()
                permit = self._quota.acquire()
            self._flight.append(self._pool.submit(self._fetch, self._next, permit))
            self._next = None
        return bool(self._flight)
