"""Requests, the walks of a list that take several of them, and proof that a walk was whole.

Pages are offsets into a list that can move under the reader: a row that goes shifts the rest up and
one is skipped, a row that comes shifts it down and one comes twice. A walk counts only when
``total`` was the same on every page and as many distinct ids were read as it says.

Nothing in this module sends a request: the clients do.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Generator, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from typing import Any, Generic, TypeVar
from urllib.parse import urlencode

from pydantic import ValidationError

from airflow_provider_talkpilot.api.errors import UnexpectedResponseError, WalkMovedError
from airflow_provider_talkpilot.api.http.address import check_value, require_uuid
from airflow_provider_talkpilot.api.interval import Interval, format_utc, read_moment
from airflow_provider_talkpilot.api.models import (
    Agent,
    Call,
    Page,
    PerformanceRecord,
    TalkPilotModel,
    describe_invalid,
)

PAGE_LIMIT = 100
AGENT_WALKS = 3

Model = TypeVar("Model", bound=TalkPilotModel)
Record = TypeVar("Record", Call, PerformanceRecord)
Out = TypeVar("Out")
In = TypeVar("In")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Request:
    """One GET of a path below the base URL; ``kind`` is what it is counted as."""

    kind: str
    path: str
    params: dict[str, str] = field(default_factory=dict, repr=False)  # can hold a caller's number

    def url(self, base_url: str) -> str:
        return f"{base_url}/{self.path}" + (f"?{urlencode(self.params)}" if self.params else "")


Exchange = Generator[Request, dict[str, Any], Result]
"""Yields requests, is sent the JSON object of each response, and returns a result."""


def run(send: Callable[[Out], In], exchange: Generator[Out, In, Result]) -> Result:
    """Send what an exchange yields, and give it the responses; return its result."""
    try:
        out = next(exchange)
        while True:
            out = exchange.send(send(out))
    except StopIteration as stop:
        result: Result = stop.value
        return result


async def run_async(
    send: Callable[[Out], Awaitable[In]], exchange: Generator[Out, In, Result]
) -> Result:
    """As :func:`run`, in an event loop."""
    try:
        out = next(exchange)
        while True:
            out = exchange.send(await send(out))
    except StopIteration as stop:
        result: Result = stop.value
        return result


@dataclass(frozen=True)
class CallFilters:
    """The API's own filters. With any of them a walk is a selection of the interval.

    :param done: only calls that are done (True) or not (False).
    :param phone_number: only calls with exactly this number.
    :param search: only calls with this text in name, phone number or summary.
    :raises ConfigurationError: when one is of another type, or an empty text.
    """

    done: bool | None = None
    phone_number: str | None = field(default=None, repr=False)
    search: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        # An empty filter would be none, and none means every call.
        check_value("done", self.done, bool | None)
        check_value("phone_number", self.phone_number, str | None, pattern=r"\S")
        check_value("search", self.search, str | None, pattern=r"\S")

    def active(self) -> dict[str, str]:
        """Give the filters in use, as query parameters."""
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
class RecordPage(Generic[Record]):
    """One page of a walk: the records inside the interval, and the rejects.

    :param total: length of the list as the API gives it, the margin around the interval included.
    """

    records: list[Record]
    total: int
    rejects: list[Reject] = field(default_factory=list)

    @property
    def calls(self) -> list[Record]:
        """The records, of a walk of calls."""
        return self.records


CallPage = RecordPage[Call]


class Walk:
    """The requests of one walk through a list, and the proof that it was whole."""

    def __init__(self, kind: str, path: str, params: dict[str, str] | None = None) -> None:
        self.total = self._last_page = 0
        self._kind, self._path, self._params = kind, path, params or {}
        self._pages = self._seen = 0
        # Hashes take less memory than ids. Python salts them: two ids with one hash in this process
        # differ in the next one.
        self._ids: set[int] = set()

    def request(self, page: int = 1) -> Request:
        """Give the request of a page, from 1."""
        paging = {"page": str(page), "limit": str(PAGE_LIMIT)}
        return Request(self._kind, self._path, self._params | paging)

    def further_requests(self) -> Iterator[Request]:
        """Give the requests of all pages after the first, which was taken already."""
        for page in range(2, self._last_page + 1):
            yield self.request(page)

    def take(self, body: dict[str, Any]) -> list[Any]:
        """Take the response to the next request; give its rows.

        :raises UnexpectedResponseError: when it is no page.
        :raises WalkMovedError: when the list has moved since the first page.
        """
        try:
            page = Page.model_validate(body)
        except ValidationError as error:
            raise UnexpectedResponseError(
                f"GET {self._path} responded with a page that does not show whether all rows came "
                f"({describe_invalid(error)}). Check the base URL (the connection's host), and "
                "report it to TalkPilot if that is right.",
                status=200,
            ) from None
        rows, total = page.data, page.pagination.total
        self._pages += 1
        if self._pages == 1:
            self.total = total
            self._last_page = math.ceil(total / len(rows)) if rows else 1
        elif total != self.total:
            raise self._moved(f"its total went from {self.total} to {total} at page {self._pages}")
        for row in rows:
            row_id = row.get("id") if isinstance(row, dict) else None
            self._seen += 1
            # Two rows without an id are different ones.
            self._ids.add(hash(str(row_id).lower() if row_id is not None else self._seen))
        if not rows and self._seen < total:
            raise self._moved(
                f"page {self._pages} is empty, and only {self._seen} of {total} rows had come"
            )
        return rows

    def take_records(self, model: type[Model], body: dict[str, Any]) -> list[Model]:
        """As :meth:`take`, for rows that must all fit a model."""
        try:
            return [model.read(row) for row in self.take(body)]
        except ValidationError as error:
            raise UnexpectedResponseError(
                f"GET {self._path} responded with a record that does not fit: "
                f"{describe_invalid(error)}. Report it to TalkPilot.",
                status=200,
            ) from None

    def read(self, model: type[Model]) -> Exchange[list[Model]]:
        """Fetch the whole list, page after page; its rows must all fit a model."""
        records = self.take_records(model, (yield self.request()))
        for request in self.further_requests():
            records += self.take_records(model, (yield request))
        self.require_whole()
        return records

    def require_whole(self) -> None:
        """Raise :class:`WalkMovedError` unless all rows of the list came."""
        if len(self._ids) != self.total:
            raise self._moved(
                f"it has {self.total} rows, and {len(self._ids)} different ones came on "
                f"{self._pages} pages"
            )

    def _moved(self, how: str) -> WalkMovedError:
        return WalkMovedError(
            f"The list {self._path} changed while it was read: {how}. If it does so at every try, "
            "report it to TalkPilot."
        )


class IntervalWalk(Walk, Generic[Record]):
    """The walk of what one agent has in an interval.

    :param kind: ``calls`` or ``performance``, in the address too.
    :param model: of the records.
    :param interval: which records, by ``created_at``.
    :param params: further query parameters.
    :raises ConfigurationError: when the agent's id is no UUID.
    """

    def __init__(
        self,
        kind: str,
        model: type[Record],
        agent_id: str,
        interval: Interval,
        params: dict[str, str],
    ) -> None:
        self._agent_id, self._interval = require_uuid("agent id", agent_id), interval
        self._model: type[Record] = model
        bounds = {"from": format_utc(interval.request_from), "to": format_utc(interval.request_to)}
        super().__init__(kind, f"agents/{self._agent_id}/{kind}", bounds | params)

    def page(self, body: dict[str, Any]) -> RecordPage[Record]:
        """As :meth:`take`, with the records of the interval and the rejects taken apart."""
        records, rejects = list[Record](), []
        for row in self.take(body):
            try:
                record = self._model.read(row)
            except ValidationError as error:
                if not self._is_elsewhere(row):
                    rejects.append(Reject(row, describe_invalid(error)))
                continue
            if record.created_at in self._interval:
                record.agent_id = record.agent_id or self._agent_id
                records.append(record)
        return RecordPage(records, self.total, rejects)

    def _is_elsewhere(self, row: Any) -> bool:
        """Whether a row that does not fit still shows that it belongs to another interval."""
        try:
            return (
                isinstance(row, dict) and read_moment(row.get("created_at")) not in self._interval
            )
        except ValueError:
            return False


def call_walk(
    agent_id: str, interval: Interval, filters: CallFilters | None = None
) -> IntervalWalk[Call]:
    """Make the walk of one agent's calls; see ``TalkPilotClient.walk_calls``."""
    # Without deleted calls a soft delete between two pages would move the list.
    params = {"include_deleted": "true", **(filters or CallFilters()).active()}
    return IntervalWalk("calls", Call, agent_id, interval, params)


def performance_walk(agent_id: str, interval: Interval) -> IntervalWalk[PerformanceRecord]:
    """Make the walk of one agent's records; see ``TalkPilotClient.walk_performance``."""
    return IntervalWalk("performance", PerformanceRecord, agent_id, interval, {})


def list_agents() -> Exchange[list[Agent]]:
    """Read the whole list of agents, again where it moved; see :meth:`TalkPilotClient.agents`."""
    for _ in range(AGENT_WALKS - 1):
        with suppress(WalkMovedError):
            return (yield from Walk("agents", "agents").read(Agent))
    return (yield from Walk("agents", "agents").read(Agent))
