"""Pages of a long list, asked for while the ones before them are read.

From a far server a page takes longer to come than to read. Answers are given in order all the same,
so that whoever reads them need not know.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from threading import Thread
from typing import Any

from airflow_provider_talkpilot.api.asking import Ask, Source

PAGES_AHEAD = 8
# A shorter list is read before looking ahead has saved anything.
LEAST_PAGES = 5

Answer = dict[str, Any]


class Ahead:
    """Asks for some pages at a time.

    :param source: sends the requests, from several threads.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self._asked: deque[Future[Answer]] = deque()

    def get(self, asks: Sequence[Ask]) -> Answer:
        """Give the answer to the first.

        :param asks: it, and what will be asked for after it.
        :raises TalkPilotError: what went wrong with the first.
        """
        first, *_ = asks
        if len(asks) == 1 and not self._asked:
            return self._source.get(first.kind, first.path, first.params)
        for ask in asks[len(self._asked) :]:
            answer = Future[Answer]()
            self._asked.append(answer)
            # A daemon: the end of a process does not wait for a quota that nobody waits for.
            Thread(target=self._ask, args=(ask, answer), name="talkpilot-page", daemon=True).start()
        return self._asked.popleft().result()

    def _ask(self, ask: Ask, answer: Future[Answer]) -> None:
        try:
            answer.set_result(self._source.get(ask.kind, ask.path, ask.params))
        except BaseException as error:  # noqa: BLE001  # raised where the answer is taken
            answer.set_exception(error)
