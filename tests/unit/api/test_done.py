"""Calls that are done: counted right whatever the API leaves open, with few requests."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_talkpilot.api import Interval
from airflow_provider_talkpilot.api.done import DoneCount, DoneWatch
from airflow_provider_talkpilot.api.errors import UnexpectedResponseError
from airflow_provider_talkpilot.api.exchange import Request, run
from airflow_provider_talkpilot.sandbox.api.query import read_query
from airflow_provider_talkpilot.sandbox.calls.store import CallStore
from airflow_provider_talkpilot.sandbox.settings import SandboxSettings

DAY = Interval.parse("2026-03-16", "2026-03-17")
AGENT = "00000000-0000-4000-8000-000000000000"
NOON = DAY.start + timedelta(hours=12)
MILLISECOND = timedelta(milliseconds=1)
SECOND = timedelta(seconds=1)

INSIDE = [DAY.start, DAY.start + MILLISECOND, NOON, DAY.end - MILLISECOND]
GAPS = (MILLISECOND, SECOND, 2 * SECOND)
OUTSIDE = [DAY.end, *(DAY.start - gap for gap in GAPS), *(DAY.end + gap for gap in GAPS)]


class Api:
    """The sandbox's store, which responds as the API does, without HTTP.

    :param inclusive: whether ``from`` and ``to`` include their bound.
    :param false_lists_null: whether ``done=false`` lists calls whose ``done`` is null.
    """

    def __init__(self, *, inclusive: bool, false_lists_null: bool) -> None:
        self.store = CallStore(SandboxSettings(days=0, agents=2))
        self.inclusive, self.false_lists_null = inclusive, false_lists_null
        self.requests = 0

    def fetch(self, request: Request) -> dict[str, Any]:
        self.requests += 1
        query = read_query(request.params)
        assert query.after is not None
        assert query.before is not None
        ordinals, total = self.store.page(
            request.path.split("/")[1],
            after=(query.after, self.inclusive),
            before=(query.before, self.inclusive),
            include_deleted=query.include_deleted,
            keep=query.filter(false_lists_null=self.false_lists_null),
            offset=query.paging.offset,
            limit=query.paging.limit,
        )
        rows = [json.loads(self.store.list_json(ordinal)) for ordinal in ordinals]
        return {"data": rows, "pagination": {"total": total}}

    def add(self, created_at: datetime, done: bool | None, agent: int = 0) -> str:
        agent_id = self.store.agent_ids[agent]
        return self.store.insert_late(agent_id, created_at, done=done, deleted_at=None)

    def check(self, watch: DoneWatch) -> tuple[DoneCount, int]:
        """Return the count, and the number of requests that it took."""
        before = self.requests
        return run(self.fetch, watch.check()), self.requests - before

    def truth(self) -> list[bool]:
        """Return of every call that counts whether it is done."""
        calls = self.store.truth(DAY.start, DAY.end)
        return [call["done"] is True for call in calls if call["deleted_at"] is None]


def check_response(body: dict[str, Any], share: float = 0.5) -> DoneCount:
    """Return the count if the API responds to every request with this body."""
    return run(lambda _: body, DoneWatch(DAY, share, [AGENT]).check())


@pytest.mark.parametrize(
    "body",
    [
        {"data": [{"done": False}], "pagination": {"total": 1}},
        {"data": [{"created_at": "Paul", "done": False}], "pagination": {"total": 1}},
        {"data": [None], "pagination": {"total": 1}},
        {"data": []},
    ],
)
def test_a_response_that_does_not_fit_is_an_error_without_values(body: dict[str, Any]) -> None:
    with pytest.raises(UnexpectedResponseError) as caught:
        check_response(body)
    assert "Paul" not in str(caught.value)


@pytest.mark.parametrize("done", ["true", 1, "Paul"])
def test_a_done_that_does_not_fit_counts_as_not_done(done: Any) -> None:
    """As in the table, where it is null."""
    noon = "2026-03-16 12:00:00+00"
    rows = [{"created_at": noon, "done": done}, {"created_at": noon, "done": True}]
    body = {"data": rows, "pagination": {"total": 2, "pages": 1.5}}
    assert check_response(body) == DoneCount(True, 2, 1)


@pytest.mark.parametrize(
    ("share", "done", "is_enough"),
    [(0.07, 7, True), (0.07, 6, False), (0.555, 55, False), (0.555, 56, True)],
)
def test_a_share_is_not_rounded(share: float, done: int, is_enough: bool) -> None:
    """0.07 of 100 calls are 7, though a little more in binary."""
    calls = [{"created_at": NOON.isoformat(), "done": number < done} for number in range(100)]
    body = {"data": calls, "pagination": {"total": 100}}
    assert check_response(body, share) == DoneCount(is_enough, 100, done)


MANY_AT = [NOON, DAY.start - SECOND / 2, DAY.end]
marks = st.sampled_from([True, False, None, "deleted"])
special = st.lists(st.tuples(st.sampled_from(INSIDE + OUTSIDE), marks, st.booleans()), max_size=8)


@given(
    inclusive=st.booleans(),
    false_lists_null=st.booleans(),
    many=st.tuples(st.sampled_from(MANY_AT), st.sampled_from([0, 3, 97, 99, 101, 130])),
    calls=special,
    share=st.sampled_from([1.0, 0.99, 0.9, 0.5]),
    becoming_done=st.lists(st.integers(0, 7), max_size=4),
)
def test_the_count_is_right_whatever_the_api_leaves_open(
    inclusive: bool,
    false_lists_null: bool,
    many: tuple[datetime, int],
    calls: Sequence[tuple[datetime, Any, bool]],
    share: float,
    becoming_done: list[int],
) -> None:
    api = Api(inclusive=inclusive, false_lists_null=false_lists_null)
    for number in range(many[1]):
        api.add(many[0] + number * timedelta(microseconds=100), True)
    made = []
    for moment, mark, second in calls:
        call = api.add(moment, None if mark == "deleted" else mark, int(second))
        if mark == "deleted":
            api.store.soft_delete(call)
        made.append(call)
    watch = DoneWatch(DAY, share, api.store.agent_ids)
    for step in [None, *becoming_done]:
        if step is not None and step < len(made):
            api.store.edit(made[step], done=True)
        truth = api.truth()
        count, requests = api.check(watch)
        assert count.is_done == (sum(truth) >= Fraction(str(share)) * len(truth))
        # Four for each of two agents; more than a page of calls in the second beside costs another.
        assert requests <= 4 + 4 + 2
        if count.is_done or share < 1:
            assert (count.calls, count.done) == (len(truth), sum(truth))
        else:
            assert 0 < count.calls - count.done <= len(truth) - sum(truth)
