"""A page of a list: its rows, and how many the whole list has."""

from __future__ import annotations

from typing import Any, NamedTuple, TypeGuard

from pydantic import BaseModel, ConfigDict, ValidationError

from airflow_provider_talkpilot.api.connections import Response
from airflow_provider_talkpilot.api.errors import UnexpectedResponseError
from airflow_provider_talkpilot.api.models import Call, Pagination
from airflow_provider_talkpilot.api.responses import parse_json, where


class Page(NamedTuple):
    """A page.

    :param rows: all of them :class:`Call`, or all as they came.
    :param total: rows in the whole list.
    """

    rows: list[Any]
    total: int


class _CallPage(BaseModel):
    """A page all of whose calls fit."""

    # No two calls have the same texts.
    model_config = ConfigDict(cache_strings="keys")

    data: list[Call]
    pagination: Pagination


def parse_calls(response: Response) -> Page:
    """Read a page of calls.

    :return: calls, made in one go; where anything does not fit, the rows as they came.
    :raises ApiError: as :func:`parse_json`, or when it is no page.
    """
    if response.status == 200:
        try:
            page = _CallPage.model_validate_json(response.content)
        except ValidationError:
            pass  # taken apart, it tells what does not fit
        else:
            return Page(page.data, page.pagination.total)
    return read_page(where(response), parse_json(response))


def are_calls(rows: list[Any]) -> TypeGuard[list[Call]]:
    """Whether a page's rows were made calls: then all of them were, or there are none."""
    return not rows or isinstance(rows[0], Call)


def read_page(origin: str, body: dict[str, Any]) -> Page:
    """Take a page of a list apart.

    :param origin: method and address, for the message.
    :return: the rows as they came.
    :raises UnexpectedResponseError: when it is none.
    """
    rows = body.get("data")
    try:
        pagination = Pagination.model_validate(body.get("pagination"))
    except ValidationError:
        pagination = None
    if pagination is None or not isinstance(rows, list):
        missing = "pagination" if pagination is None else "data"
        raise UnexpectedResponseError(
            f"{origin} answered with a page without a usable {missing!r}, so it cannot be known "
            "whether all calls came. Check the base URL (the connection's host), and report it to "
            "TalkPilot if that is right.",
            status=200,
        )
    return Page(rows, pagination.total)
