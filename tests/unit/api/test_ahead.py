from __future__ import annotations

import threading
from threading import Barrier
from typing import Any

import pytest

from airflow_provider_talkpilot.api import Quota, TalkPilotClient, errors
from airflow_provider_talkpilot.api.ahead import LEAST_PAGES, PAGES_AHEAD, Ahead
from airflow_provider_talkpilot.api.asking import Ask
from airflow_provider_talkpilot.sandbox import Sandbox
from tests.unit.api.conftest import DAY, MakeClient

SECONDS = 30


class Source:
    """Answers with the number of the page, once so many requests are there."""

    def __init__(self, together: int, broken: int | None = None) -> None:
        self._barrier, self._broken = Barrier(together, timeout=SECONDS), broken

    def get(self, kind: str, path: str, params: dict[str, str] | None = None) -> dict[str, Any]:
        self._barrier.wait()
        if path == str(self._broken):
            raise errors.ServerError("broken", status=500)
        return {"page": path}


def pages(first: int, last: int) -> list[Ask]:
    return [Ask("calls", str(number)) for number in range(first, last + 1)]


def test_pages_are_asked_for_at_once_and_come_in_order() -> None:
    ahead = Ahead(Source(PAGES_AHEAD))
    asks = pages(1, PAGES_AHEAD)
    got = [ahead.get(asks[number:])["page"] for number in range(len(asks))]
    assert got == [str(number) for number in range(1, PAGES_AHEAD + 1)]


def test_an_error_comes_where_its_page_would_have() -> None:
    ahead = Ahead(Source(4, broken=3))
    asks = pages(1, 4)
    assert [ahead.get(asks[number:])["page"] for number in (0, 1)] == ["1", "2"]
    with pytest.raises(errors.ServerError, match="broken"):
        ahead.get(asks[2:])


def test_a_long_list_costs_a_request_for_each_page(
    sandbox: Sandbox, client: TalkPilotClient
) -> None:
    count = 100 * (LEAST_PAGES + PAGES_AHEAD + 1) - 3
    sandbox.reset(calls_per_day=count, days=1)
    agent = client.agents()[0].id
    found = [call.id for page in client.walk_calls(agent, DAY) for call in page.calls]
    assert len(found) == len(set(found)) == count
    assert sandbox.counters["calls"] == LEAST_PAGES + PAGES_AHEAD + 1


@pytest.mark.parametrize("after", [1, 3, LEAST_PAGES])
def test_a_long_list_that_moves_is_no_walk(
    sandbox: Sandbox, client: TalkPilotClient, after: int
) -> None:
    sandbox.reset(calls_per_day=100 * LEAST_PAGES + 1, days=1)
    agent = client.agents()[0].id
    newest = sandbox.truth(DAY.start.date().isoformat(), DAY.end.date().isoformat())[-1]["id"]
    sandbox.scripts.add("erase", after=after, call_id=newest)
    with pytest.raises(errors.WalkMovedError):
        list(client.walk_calls(agent, DAY))
    assert sum(len(page.calls) for page in client.walk_calls(agent, DAY)) == 100 * LEAST_PAGES


def test_a_used_up_quota_ends_the_walk(sandbox: Sandbox, make_client: MakeClient) -> None:
    sandbox.reset(calls_per_day=2_000, days=1)
    sandbox.settings.requests_per_hour = 7
    with make_client(quota=Quota(max_wait=1)) as client:
        agent = client.agents()[0].id
        with pytest.raises(errors.QuotaExhaustedError):
            list(client.walk_calls(agent, DAY))
    counts = sandbox.counters
    assert counts["agents"] + counts["calls"] - counts["refused"] == 7
    assert counts["refused"] < PAGES_AHEAD


def test_pages_on_the_way_when_a_client_closes_leave_no_connection(
    sandbox: Sandbox, make_client: MakeClient
) -> None:
    sandbox.reset(calls_per_day=100 * LEAST_PAGES, days=1)
    client = make_client()
    pages = client.walk_calls(client.agents()[0].id, DAY)
    next(pages)
    next(pages)
    client.close()
    for thread in threading.enumerate():
        if thread.name == "talkpilot-page":
            thread.join(SECONDS)
    assert client._connections._idle == []
