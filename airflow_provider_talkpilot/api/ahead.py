"""Pages of a long list, asked for while the ones before them are read.

From a far server a page takes longer to come than to read, and a near one renders the next page
meanwhile. No thread waits for them: requests are sent, and their answers read in order when it is
their turn. Threads would take the processor from the one that reads.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar

from airflow_provider_talkpilot.api.asking import Ask
from airflow_provider_talkpilot.api.connections import Response, Sent
from airflow_provider_talkpilot.api.quota import Permit

PAGES_AHEAD = 16
# A shorter list is read before looking ahead has saved anything.
LEAST_PAGES = 5
# An answer that takes so much longer than the one before it is given up.
LATE_SECONDS = 5.0

Parsed = TypeVar("Parsed")


@dataclass
class Begun:
    """A request that was sent and whose answer is read later.

    :param sent: the request.
    :param permit: to be given back to the quota; None once it was.
    :param response: the answer, once it was read.
    """

    sent: Sent
    permit: Permit | None
    response: Response | None = None

    def settle(self) -> Permit | None:
        """Take the permit, to give it back."""
        permit, self.permit = self.permit, None
        return permit


class AheadSource(Protocol):
    """Who sends the requests: the client."""

    def ask(self, ask: Ask, parse: Callable[[Response], Parsed]) -> Parsed:
        """Send a request until it is answered."""

    def begin(self, ask: Ask) -> Begun | None:
        """Send a request whose answer is read later; None where that cannot be now."""

    def finish(self, begun: Begun, parse: Callable[[Response], Parsed]) -> Parsed | None:
        """Give what came of it; None where it is to be asked for again."""

    def receive(self, begun: Begun, patience: float) -> Response | None:
        """Read its answer, or give it up."""

    def drop(self, begun: Begun) -> None:
        """Do without its answer."""


class Ahead:
    """Has some requests on their way at a time.

    :param source: sends them.
    :param page: what asks for a page, by its number.
    """

    def __init__(self, source: AheadSource, page: Callable[[int], Ask]) -> None:
        self._source, self._page = source, page
        self._begun: deque[Begun] = deque()
        self._looks_ahead = True

    def get(self, number: int, until: int, parse: Callable[[Response], Parsed]) -> Parsed:
        """Give a page.

        :param number: of the page; the one after the page that was given before.
        :param until: the last page that may be asked for meanwhile.
        :param parse: makes of a response what is returned.
        :raises TalkPilotError: what went wrong with this page.
        """
        if self._looks_ahead and until > number:
            self._begin(number + len(self._begun), min(until, number + PAGES_AHEAD - 1))
        if self._begun:
            answer = self._source.finish(self._begun.popleft(), parse)
            if answer is not None:
                return answer
            # The server refuses, fails or redirects. To ask again may take a wait for the quota,
            # which may wait for the answers on their way; and more of them would fare no better.
            self._looks_ahead = False
            for begun in self._begun:
                self._source.receive(begun, LATE_SECONDS)
        return self._source.ask(self._page(number), parse)

    def close(self) -> None:
        """Do without the answers that nobody asked for yet."""
        while self._begun:
            self._source.drop(self._begun.popleft())

    def _begin(self, first: int, last: int) -> None:
        for number in range(first, last + 1):
            begun = self._source.begin(self._page(number))
            if begun is None:
                return
            self._begun.append(begun)
