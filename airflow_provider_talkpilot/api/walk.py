"""Walking the pages of a list, and proof that the walk was whole.

Pages are offsets into a list that can move under the reader: a row that goes shifts the rest up and
one is skipped, a row that comes shifts it down and one comes twice. A walk counts only when
``total`` was the same on every page and as many distinct ids were read as it says.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol

from pydantic import TypeAdapter, ValidationError

from airflow_provider_talkpilot.api.ahead import LEAST_PAGES, Ahead, AheadSource
from airflow_provider_talkpilot.api.asking import Ask, Asking, Source, answer
from airflow_provider_talkpilot.api.errors import UnexpectedResponseError, WalkMovedError
from airflow_provider_talkpilot.api.interval import Interval, format_utc
from airflow_provider_talkpilot.api.models import Agent, Call, UtcDatetime, describe_invalid
from airflow_provider_talkpilot.api.pages import Page, are_calls, parse_calls, read_page

PAGE_LIMIT = 100
AGENT_WALKS = 3

_created_at: TypeAdapter[datetime] = TypeAdapter(UtcDatetime)


class PageSource(Source, AheadSource, Protocol):
    """Who sends the requests, and to where."""

    @property
    def base_url(self) -> str:
        """The API's base URL, for messages."""


@dataclass(frozen=True)
class CallFilters:
    """The API's own filters. With any of them a walk is a selection of the interval.

    :param done: only calls that are done (True) or not (False).
    :param phone_number: only calls with exactly this number.
    :param search: only calls with this text in name, phone number or summary.
    """

    done: bool | None = None
    phone_number: str | None = field(default=None, repr=False)
    search: str | None = field(default=None, repr=False)

    def active(self) -> dict[str, str]:
        """The filters in use, as query parameters."""
        return {
            name: str(value).lower() if isinstance(value, bool) else str(value)
            for name, value in asdict(self).items()
            if value is not None
        }


@dataclass(frozen=True)
class Reject:
    """A record that does not fit the model.

    :param record: the record as the API sent it; personal data, to be kept aside only.
    :param reason: which fields are wrong and how, without their values.
    """

    record: Any = field(repr=False)
    reason: str


@dataclass(frozen=True)
class CallPage:
    """One page of a walk: the calls inside the interval, and what did not validate.

    :param total: what the list said its length is, the margin around the interval included.
    """

    calls: list[Call]
    total: int
    rejects: list[Reject] = field(default_factory=list)


def walk_calls(
    source: PageSource, agent_id: str, interval: Interval, filters: CallFilters | None = None
) -> Iterator[CallPage]:
    """Walk one agent's calls; see :meth:`TalkPilotClient.walk_calls`."""
    params = {
        # Without deleted calls a soft delete between two pages would move the list.
        "include_deleted": "true",
        "from": format_utc(interval.asked_from),
        "to": format_utc(interval.asked_to),
        **(filters or CallFilters()).active(),
    }
    walk = _Walk("calls", f"agents/{agent_id}/calls", params)
    with closing(Ahead(source, walk.page)) as ahead:
        while number := walk.next_page():
            rows = walk.take(ahead.get(number, walk.last_page, parse_calls))
            if rows:
                page = _call_page(rows, walk.total, interval)
                for call in page.calls:
                    call.agent_id = call.agent_id or agent_id
                yield page


def _call_page(rows: list[Any], total: int, interval: Interval) -> CallPage:
    if are_calls(rows):
        return CallPage(_inside(rows, interval), total)
    calls, rejects = [], []
    for row in rows:
        try:
            calls.append(Call.read(row))
        except ValidationError as error:
            if not _is_elsewhere(row, interval):
                rejects.append(Reject(row, describe_invalid(error)))
    return CallPage(_inside(calls, interval), total, rejects)


def _inside(calls: list[Call], interval: Interval) -> list[Call]:
    # All are in UTC, so day and time say it. To compare moments asks each for its zone.
    start, end = (
        (moment.date(), moment.time())
        for moment in (interval.start.astimezone(UTC), interval.end.astimezone(UTC))
    )
    return [
        call for call in calls if start <= (call.created_at.date(), call.created_at.time()) < end
    ]


def _is_elsewhere(row: Any, interval: Interval) -> bool:
    """Whether a row that does not fit says all the same that it belongs to another interval."""
    created_at = row.get("created_at") if isinstance(row, dict) else None
    try:
        return _created_at.validate_python(created_at) not in interval
    except ValidationError:
        return False


def walk_agents(source: PageSource) -> list[Agent]:
    """Read the whole list of agents, again where it moved; see :meth:`TalkPilotClient.agents`."""
    return answer(source, ask_agents(source.base_url))


def ask_agents(base_url: str) -> Asking[list[Agent]]:
    """As :func:`walk_agents`, whoever sends the requests.

    :param base_url: the API's base URL, for messages.
    """
    for number in range(1, AGENT_WALKS + 1):
        try:
            walk = _Walk("agents", "agents", {})
            rows: list[Any] = []
            while page := walk.next_page():
                rows += walk.take(read_page(f"GET {base_url}/agents", (yield walk.page(page))))
            return [Agent.read(row) for row in rows]
        except WalkMovedError:
            if number == AGENT_WALKS:
                raise
        except ValidationError as error:
            raise UnexpectedResponseError(
                f"GET {base_url}/agents answered with an agent that does not fit "
                f"({describe_invalid(error)}).",
                status=200,
            ) from None
    raise AssertionError("unreachable")


class _Walk:
    """What one walk asks for, and whether that was all of the list."""

    def __init__(self, kind: str, path: str, params: dict[str, str]) -> None:
        self.total = -1
        self._kind, self._path, self._params = kind, path, params
        self._ids = DistinctIds()
        self._number = self._last = 0

    @property
    def last_page(self) -> int:
        """Number of the last page of a long list, as its first page tells; 0 of others."""
        return self._last if self._last >= LEAST_PAGES else 0

    def next_page(self) -> int | None:
        """Number of the page to ask for; None when the walk was whole.

        :raises WalkMovedError: when it was not.
        """
        if self._number == 0 or self._ids.seen < self.total:
            self._number += 1
            return self._number
        if (distinct := self._ids.distinct()) != self.total:
            raise WalkMovedError(
                f"The list {self._path} changed while it was read: it has {self.total} rows, and "
                f"{distinct} different ones came on {self._number} pages."
            )
        return None

    def take(self, page: Page) -> list[Any]:
        """Take the next page; give its rows.

        :raises WalkMovedError: when the list has moved since the first page.
        """
        rows, total = page
        if self._number > 1 and total != self.total:
            raise WalkMovedError(
                f"The list {self._path} changed while it was read: its total went from "
                f"{self.total} to {total} at page {self._number}."
            )
        self.total = total
        if self._number == 1 and rows:
            self._last = math.ceil(self.total / len(rows))
        self._ids.add(rows)
        if not rows and self._ids.seen < self.total:
            raise WalkMovedError(
                f"The list {self._path} changed while it was read: page {self._number} is empty, "
                f"and only {self._ids.seen} of {self.total} rows had come."
            )
        return rows

    def page(self, number: int) -> Ask:
        """What asks for a page."""
        return Ask(self._kind, self._path, self._params | page_params(number))


class DistinctIds:
    """Counts rows and distinct ids in 8 bytes a row, so that a walk's memory stays flat."""

    _AT_ONCE = 100_000

    def __init__(self) -> None:
        # Python salts the hash of a text per process: a collision does not survive a retry.
        self._hashes = array("q")

    @property
    def seen(self) -> int:
        """How many rows were added."""
        return len(self._hashes)

    def add(self, rows: list[Any]) -> None:
        """Count rows; one without an id counts as different from every other."""
        if are_calls(rows):
            self._hashes.extend([hash(call.id) for call in rows])
        else:
            self._hashes.extend([hash(self._id_of(row, n)) for n, row in enumerate(rows)])

    def distinct(self) -> int:
        """How many different ids were added."""
        if self.seen <= self._AT_ONCE:
            return len(set(self._hashes))
        parts = self.seen // self._AT_ONCE + 1
        return sum(
            len({digest for digest in self._hashes if digest % parts == part})
            for part in range(parts)
        )

    def _id_of(self, row: Any, number: int) -> object:
        row_id = row.get("id") if isinstance(row, dict) else None
        # As calls have it: pages of one list can come either way.
        return (self.seen + number, "no id") if row_id is None else str(row_id).lower()


def page_params(number: int, limit: int = PAGE_LIMIT) -> dict[str, str]:
    """Query parameters that choose a page, from 1."""
    return {"page": str(number), "limit": str(limit)}
