"""Walks: reading all pages of a list, and the proof that no row was missed.

A page is an offset into a list that can change while it is read. If a row is deleted, the rows
after it move up, and the next page skips one. If a row is added, the next page repeats one. So a
walk is whole only if ``total`` was the same on every page, and if as many distinct ids were read.

This module sends no request: it makes :mod:`exchanges <.exchange>` that the clients run.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from typing import Any, Generic, TypeVar

import tenacity
from pydantic import ValidationError

from airflow_provider_talkpilot.api.checks import check_value, require_uuid
from airflow_provider_talkpilot.api.errors import UnexpectedResponseError, WalkMovedError
from airflow_provider_talkpilot.api.exchange import Exchange, Request
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
WALK_AGAIN: dict[str, Any] = {
    "retry": tenacity.retry_if_exception_type(WalkMovedError),
    "stop": tenacity.stop_after_attempt(3),
    "reraise": True,
}
"""Options of tenacity: walk a list up to three times while it changes as it is read."""

Model = TypeVar("Model", bound=TalkPilotModel)
Record = TypeVar("Record", Call, PerformanceRecord)


@dataclass(frozen=True)
class CallFilters:
    """The API's own filters. A walk with a filter reads a selection of the interval.

    :param done: only calls that are done (True) or not (False).
    :param phone_number: only calls with exactly this number.
    :param search: only calls with this text in name, phone number or summary.
    :raises ConfigurationError: when a filter has another type, or is an empty text.
    """

    done: bool | None = None
    phone_number: str | None = field(default=None, repr=False)
    search: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        # The API takes an empty text for no filter, and would list every call.
        check_value("done", self.done, bool | None)
        check_value("phone_number", self.phone_number, str | None, pattern=r"\S")
        check_value("search", self.search, str | None, pattern=r"\S")

    def active(self) -> dict[str, str]:
        """Return the filters in use, as query parameters."""
        return {
            name: str(value).lower() if isinstance(value, bool) else str(value)
            for name, value in asdict(self).items()
            if value is not None
        }


@dataclass(frozen=True)
class Reject:
    """A record that does not fit its model.

    :param record: the record as the API sent it; personal data, to be kept aside only.
    :param reason: which fields are wrong and how, without their values.
    """

    record: Any = field(repr=False)
    reason: str


@dataclass(frozen=True)
class RecordPage(Generic[Record]):
    """One page of a walk.

    :param records: the records inside the interval.
    :param total: length of the whole list, including the margin around the interval.
    :param rejects: the records that do not fit their model.
    """

    records: list[Record]
    total: int
    rejects: list[Reject]


class Walk:
    """One walk through a list: makes its requests, and proves that it was whole.

    Read the first page, then the pages of :meth:`further_requests`, then call
    :meth:`require_whole`. :meth:`read_all` does all of this.

    :param kind: the name under which the requests are counted.
    :param path: the list's path below the base URL.
    :param params: query parameters besides the paging.
    """

    def __init__(self, kind: str, path: str, params: dict[str, str] | None = None) -> None:
        self.total = self._last_page = 0  # known after the first page
        self._kind, self._path, self._params = kind, path, params or {}
        self._pages = self._rows = 0
        # Hashes need less memory than ids. Python salts them: two ids with the same hash in this
        # process have different ones in the next.
        self._ids: set[int] = set()

    def request(self, page: int = 1) -> Request:
        """Return the request of a page, counted from 1."""
        paging = {"page": str(page), "limit": str(PAGE_LIMIT)}
        return Request(self._kind, self._path, self._params | paging)

    def further_requests(self) -> Iterator[Request]:
        """Yield the requests of all pages after the first; read the first page before."""
        for page in range(2, self._last_page + 1):
            yield self.request(page)

    def read_rows(self, body: dict[str, Any]) -> list[Any]:
        """Check the response to the next request, and return its rows.

        :raises UnexpectedResponseError: when the response is no page of a list.
        :raises WalkMovedError: when the list has changed since the first page.
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
            self._rows += 1
            # Each row without an id counts as a distinct one.
            self._ids.add(hash(self._rows if row_id is None else str(row_id)))
        if not rows and self._rows < total:
            raise self._moved(
                f"page {self._pages} is empty, and only {self._rows} of {total} rows had come"
            )
        return rows

    def read_first(self, model: type[Model]) -> Exchange[list[Model]]:
        """Fetch the first page; all of its rows must fit the model."""
        return self._read_records(model, (yield self.request()))

    def read_all(self, model: type[Model]) -> Exchange[list[Model]]:
        """Fetch the whole list; all of its rows must fit the model."""
        records = yield from self.read_first(model)
        for request in self.further_requests():
            records += self._read_records(model, (yield request))
        self.require_whole()
        return records

    def require_whole(self) -> None:
        """Raise :class:`WalkMovedError` unless all rows of the list were read."""
        if len(self._ids) != self.total:
            raise self._moved(
                f"it has {self.total} rows, and {len(self._ids)} different ones came on "
                f"{self._pages} pages"
            )

    def _read_records(self, model: type[Model], body: dict[str, Any]) -> list[Model]:
        try:
            return [model.read(row) for row in self.read_rows(body)]
        except ValidationError as error:
            raise UnexpectedResponseError(
                f"GET {self._path} responded with a record that does not fit: "
                f"{describe_invalid(error)}. Report it to TalkPilot.",
                status=200,
            ) from None

    def _moved(self, how: str) -> WalkMovedError:
        return WalkMovedError(
            f"The list {self._path} changed while it was read: {how}. If it does so at every try, "
            "report it to TalkPilot."
        )


class IntervalWalk(Walk, Generic[Record]):
    """The walk of one agent's records in an interval.

    :param kind: ``calls`` or ``performance``; also the last part of the path.
    :param model: the model of the records.
    :param agent_id: the agent's UUID.
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

    def read_page(self, body: dict[str, Any]) -> RecordPage[Record]:
        """As :meth:`read_rows`, with the rows split into records of the interval and rejects."""
        records, rejects = list[Record](), list[Reject]()
        for row in self.read_rows(body):
            try:
                record = self._model.read(row)
            except ValidationError as error:
                if not self._is_outside(row):
                    rejects.append(Reject(row, describe_invalid(error)))
                continue
            if record.created_at in self._interval:
                record.agent_id = record.agent_id or self._agent_id
                records.append(record)
        return RecordPage(records, self.total, rejects)

    def _is_outside(self, row: Any) -> bool:
        """Return whether a row that does not fit still shows that it is outside the interval."""
        with suppress(TypeError, LookupError, ValueError):
            return read_moment(row["created_at"]) not in self._interval
        return False


def call_walk(
    agent_id: str, interval: Interval, filters: CallFilters | None = None
) -> IntervalWalk[Call]:
    """Return the walk of one agent's calls; see ``TalkPilotClient.walk_calls``."""
    # Without deleted calls, a soft delete between two pages would change the list.
    params = {"include_deleted": "true", **(filters or CallFilters()).active()}
    return IntervalWalk("calls", Call, agent_id, interval, params)


def performance_walk(agent_id: str, interval: Interval) -> IntervalWalk[PerformanceRecord]:
    """Return the walk of an agent's records; see ``TalkPilotClient.walk_performance``."""
    return IntervalWalk("performance", PerformanceRecord, agent_id, interval, {})


def list_agents() -> Exchange[list[Agent]]:
    """Fetch the list of agents, up to three times if it changes; see ``TalkPilotClient.agents``."""
    agents = list[Agent]()
    for attempt in tenacity.Retrying(**WALK_AGAIN):
        with attempt:
            agents = yield from Walk("agents", "agents").read_all(Agent)
    return agents
