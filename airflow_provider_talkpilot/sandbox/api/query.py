"""Reads and checks the query of a list as the API does: a wrong value gets a 400."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from airflow_provider_talkpilot.sandbox.calls.data import Row
from airflow_provider_talkpilot.sandbox.calls.reader import Filter
from airflow_provider_talkpilot.sandbox.calls.times import Micros, to_micros

DEFAULT_LIMIT = 20
MAX_LIMIT = 100
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_BOOLEANS = {"true": True, "1": True, "false": False, "0": False}


class InvalidQueryError(Exception):
    """Wrong values; ``details`` as the error envelope lists them."""

    def __init__(self, details: list[dict[str, str]]) -> None:
        super().__init__("Invalid request parameters")
        self.details = details


@dataclass(frozen=True)
class Paging:
    """Which page of a list."""

    page: int = 1
    limit: int = DEFAULT_LIMIT

    @property
    def offset(self) -> int:
        """How many rows come before the page."""
        return (self.page - 1) * self.limit


@dataclass(frozen=True)
class ListQuery:
    """The query of a list; None where it has no such parameter.

    Lists of agents and of performance records ignore the filters of calls.
    """

    paging: Paging
    after: Micros | None
    before: Micros | None
    include_deleted: bool
    done: bool | None
    phone_number: str | None
    search: str | None

    def filter(self, *, false_lists_null: bool) -> tuple[tuple[object, ...], Filter] | None:
        """Return the filter on rows, named by its values; None keeps all rows.

        :param false_lists_null: whether ``done=false`` lists calls whose ``done`` is null.
        """
        wanted = (self.done, self.phone_number, self.search)
        if wanted == (None, None, None):
            return None
        needle = (self.search or "").casefold()

        def matches(row: Row) -> bool:
            done = False if row["done"] is None and false_lists_null else row["done"]
            if self.done is not None and done is not self.done:
                return False
            if self.phone_number is not None and row["phone_number"] != self.phone_number:
                return False
            fields = (row["customer_name"], row["phone_number"], row["call_summary"])
            return not needle or any(needle in text.casefold() for text in fields if text)

        return (*wanted, false_lists_null), matches


class _Reader:
    """Reads values, and collects what is wrong with them."""

    def __init__(self, query: Mapping[str, str]) -> None:
        self._query = query
        self.details: list[dict[str, str]] = []

    def refuse(self, field: str, message: str) -> None:
        self.details.append({"field": field, "message": message})

    def integer(self, name: str, default: int, most: int | None = None) -> int:
        text = self._query.get(name)
        if text is None:
            return default
        number = int(text) if text.isascii() and text.isdigit() and len(text) < 12 else 0
        if number < 1:
            self.refuse(name, "Must be a positive integer")
        elif most is not None and number > most:
            self.refuse(name, f"Must be at most {most}")
        return max(1, number)

    def boolean(self, name: str) -> bool | None:
        text = self._query.get(name)
        if text is None:
            return None
        if text.lower() not in _BOOLEANS:
            self.refuse(name, "Must be true or false")
        return _BOOLEANS.get(text.lower())

    def moment(self, name: str) -> Micros | None:
        text = self._query.get(name)
        if text is None:
            return None
        try:
            return to_micros(text)
        except (ValueError, OverflowError):
            self.refuse(name, "Must be an ISO 8601 date-time")
            return None


def check_uuids(**values: str) -> None:
    """Refuse values that are not UUIDs.

    :raises InvalidQueryError: naming every wrong one.
    """
    wrong = [name for name, value in values.items() if not _UUID.fullmatch(value)]
    if wrong:
        raise InvalidQueryError(
            [{"field": name, "message": "Must be a valid UUID"} for name in wrong]
        )


def read_query(query: Mapping[str, str]) -> ListQuery:
    """Read the query of a list; unknown parameters are ignored.

    :raises InvalidQueryError: naming every wrong value.
    """
    reader = _Reader(query)
    found = ListQuery(
        paging=Paging(reader.integer("page", 1), reader.integer("limit", DEFAULT_LIMIT, MAX_LIMIT)),
        after=reader.moment("from"),
        before=reader.moment("to"),
        include_deleted=reader.boolean("include_deleted") or False,
        done=reader.boolean("done"),
        phone_number=query.get("phone_number"),
        search=query.get("search") or None,
    )
    if reader.details:
        raise InvalidQueryError(reader.details)
    return found
