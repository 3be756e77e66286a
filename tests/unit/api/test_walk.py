"""A walk is whole or an error, costs the fewest requests, and puts each call in one interval."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_provider_talkpilot.api import Call, CallFilters, Interval, TalkPilotClient, errors
from airflow_provider_talkpilot.sandbox import Sandbox
from airflow_provider_talkpilot.sandbox.api import query
from tests.unit.api.conftest import DAY, MakeClient
from tests.unit.api.raw_server import RawServer

MIDNIGHT = datetime(2026, 3, 16, tzinfo=UTC)


def walk(client: TalkPilotClient, agent: str, interval: Interval = DAY) -> list[Call]:
    return [call for page in client.walk_calls(agent, interval) for call in page.records]


def ids(calls: list[Call]) -> list[str]:
    return [call.id for call in calls]


def truth(sandbox: Sandbox, interval: Interval = DAY) -> list[str]:
    """Ids, newest first."""
    return [row["id"] for row in sandbox.store.truth(interval.start, interval.end)][::-1]


@pytest.mark.parametrize("change", ["erase", "late row", "erase on the last page", "both"])
def test_a_list_that_moves_is_no_walk(
    sandbox: Sandbox, client: TalkPilotClient, agent: str, change: str
) -> None:
    newest, oldest = truth(sandbox)[0], truth(sandbox)[-1]
    if change in ("erase", "both"):
        sandbox.scripts.add("erase", after=1, call_id=newest)
    if change == "erase on the last page":
        sandbox.scripts.add("erase", after=2, call_id=oldest)
    if change in ("late row", "both"):
        sandbox.scripts.add(
            "insert_late", after=2, agent_id=agent, created_at="2026-03-16T23:59:59.9999Z"
        )
    with pytest.raises(errors.WalkMovedError, match=r"changed while it was read: .*") as caught:
        walk(client, agent)
    assert caught.value.retryable
    # Walked again it is whole, with the soft-deleted calls.
    calls = walk(client, agent)
    assert sorted(ids(calls)) == sorted(truth(sandbox))
    moments = [call.created_at for call in calls]
    assert moments == sorted(moments, reverse=True)


def test_a_server_whose_pages_are_smaller_than_asked(
    sandbox: Sandbox, client: TalkPilotClient, agent: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = query.Paging
    monkeypatch.setattr(query, "Paging", lambda number, limit: page(number, min(limit, 30)))
    assert sorted(ids(walk(client, agent))) == sorted(truth(sandbox))
    assert sandbox.counters["calls"] > 500 / 100


ROW = {"id": "0d5e8f9e-1f6f-4c9b-9d5e-3a4b5c6d7e8f", "created_at": "2026-03-16T12:00:00Z"}
OTHER = {**ROW, "id": ROW["id"][:-1] + "0"}


@pytest.mark.parametrize(
    ("body", "error", "message"),
    [
        ({"data": [ROW, ROW], "pagination": {"total": 2}}, errors.WalkMovedError, "2 rows, and 1 "),
        (
            {"data": [ROW, OTHER], "pagination": {"total": 1}},
            errors.WalkMovedError,
            "1 rows, and 2",
        ),
        ({"data": [], "pagination": {"total": 5}}, errors.WalkMovedError, "1 is empty, and only 0"),
        ({"data": []}, errors.UnexpectedResponseError, "pagination.*TalkPilot"),
        ({"pagination": {"total": 0}}, errors.UnexpectedResponseError, "data.*TalkPilot"),
    ],
)
def test_a_page_that_does_not_prove_a_whole_walk(
    make_client: MakeClient, agent: str, body: Any, error: type[Exception], message: str
) -> None:
    with RawServer(json.dumps(body).encode()) as server:
        client = make_client(base_url=server.url)
        for read in (lambda: walk(client, agent), client.agents):
            with pytest.raises(error, match=message):
                read()


@pytest.mark.parametrize(("fault", "says"), [("no_id", "id: "), ("no_start", "created_at: ")])
def test_rejects_are_kept_with_a_reason_and_without_values(
    sandbox: Sandbox, client: TalkPilotClient, agent: str, fault: Any, says: str
) -> None:
    sandbox.faults.add(fault, kind="calls", after=1, times=2)
    pages = list(client.walk_calls(agent, DAY))
    rejects = [reject for page in pages for reject in page.rejects]
    assert len(rejects) == 2
    for reject in rejects:
        assert reject.reason.startswith(says)
        for value in map(str, reject.record.values()):
            assert len(value) < 8 or value not in reject.reason
    assert sum(len(page.records) for page in pages) == len(truth(sandbox)) - 2


def test_a_reject_of_the_next_interval_is_not_ours(
    sandbox: Sandbox, client: TalkPilotClient, agent: str
) -> None:
    sandbox.store.insert_late(agent, "2026-03-17T00:00:00Z")
    sandbox.faults.add("no_id", kind="calls")
    this = list(client.walk_calls(agent, DAY))
    sandbox.faults.add("no_id", kind="calls")
    following = list(client.walk_calls(agent, Interval.parse("2026-03-17", "2026-03-18")))
    assert [reject for page in this for reject in page.rejects] == []
    assert len([reject for page in following for reject in page.rejects]) == 1


@given(data=st.data(), bounds=st.tuples(*[st.sampled_from(["exclusive", "inclusive"])] * 2))
@settings(max_examples=25, suppress_health_check=list(HealthCheck), deadline=None)
def test_each_call_is_in_exactly_one_of_adjacent_intervals(
    sandbox: Sandbox, data: st.DataObject, bounds: Any
) -> None:
    from_bound, to_bound = bounds
    sandbox.reset(days=1, calls_per_day=20, agents=1, from_bound=from_bound, to_bound=to_bound)
    agent = sandbox.store.agent_ids[0]
    millisecond = timedelta(milliseconds=1)
    day = timedelta(days=1)
    for boundary in (MIDNIGHT, MIDNIGHT + day):
        for moment in (boundary - millisecond, boundary, boundary + millisecond):
            sandbox.store.insert_late(agent, moment)
    starts = [
        datetime.fromisoformat(row["created_at"])
        for row in sandbox.store.truth("2026-03-01", "2026-04-01")
    ]
    # Cuts at calls, a millisecond beside them, and anywhere.
    near = st.sampled_from(starts).flatmap(
        lambda at: st.sampled_from([at, at - millisecond, at + millisecond])
    )
    anywhere = st.timedeltas(timedelta(0), day).map(lambda after: MIDNIGHT + after)
    cuts = data.draw(st.lists(near | anywhere, max_size=4))
    first, last = MIDNIGHT - day, MIDNIGHT + 2 * day
    edges = sorted({first, last, MIDNIGHT, MIDNIGHT + day, *cuts})

    with TalkPilotClient(sandbox.base_url, sandbox.api_key) as client:
        found = Counter[str]()
        for start, end in itertools.pairwise(edges):
            calls = walk(client, agent, Interval(start, end))
            assert all(start <= call.created_at < end for call in calls)
            found.update(ids(calls))
    assert found == Counter(row["id"] for row in sandbox.store.truth(first, last))


def test_filters_select_calls(sandbox: Sandbox, client: TalkPilotClient, agent: str) -> None:
    rows = sandbox.store.truth(DAY.start, DAY.end)
    number = next(row["phone_number"] for row in rows if row["phone_number"])
    for name, value in (("done", False), ("done", True), ("phone_number", number)):
        options: dict[str, Any] = {name: value}
        pages = client.walk_calls(agent, DAY, CallFilters(**options))
        selected = {call.id for page in pages for call in page.records}
        assert selected == {row["id"] for row in rows if row[name] == value}
        assert selected


def test_the_widest_interval(sandbox: Sandbox, client: TalkPilotClient, agent: str) -> None:
    everything = Interval.parse("0001-01-01", "9999-12-31T23:59:59.999999")
    assert len(walk(client, agent, everything)) == 500
