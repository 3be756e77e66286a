"""The list moves while it is walked: the result is right, or there is none."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from google.cloud.exceptions import NotFound

from airflow_provider_talkpilot.exceptions import TalkPilotTaskError
from airflow_provider_talkpilot.staging.manifests import ListManifest
from airflow_provider_talkpilot.staging.storage import parse_uri
from tests.integration.chain import Chain, local, refused
from tests.support.tables import Row


@pytest.fixture
def long_list(chain: Chain) -> list[Row]:
    """One agent's 250 calls, newest first: three pages."""
    chain.sandbox.reset(days=1, agents=1, calls_per_day=250)
    return chain.truth()[::-1]


@pytest.mark.parametrize(("row", "after"), [(99, 1), (100, 1), (249, 2)])
def test_soft_deletes_move_none(chain: Chain, long_list: list[Row], row: int, after: int) -> None:
    chain.sandbox.scripts.add("soft_delete", after=after, call_id=long_list[row]["id"])
    chain.extract()
    assert chain.sandbox.counters["calls"] == 3


@pytest.mark.parametrize(
    ("change", "after", "requests"),
    [
        ({"erase": 5}, 1, [5, 6]),
        ({"erase": 249}, 2, [6]),
        ({"insert_late": "2026-03-16T23:59:59Z"}, 1, [5, 6]),
        ({"insert_late": "2026-03-16T00:00:00Z"}, 2, [6]),
        # The total stays; the newer row shifts the rest down, and one comes twice.
        ({"erase": 240, "insert_late": "2026-03-16T23:59:59.998Z"}, 1, [6]),
    ],
    ids=str,
)
def test_a_list_that_moves_once(
    chain: Chain, long_list: list[Row], change: dict[Any, Any], after: int, requests: list[int]
) -> None:
    for name, where in change.items():
        call = {"agent_id": long_list[0]["agent_id"], "created_at": where}
        if isinstance(where, int):
            call = {"call_id": long_list[where]["id"]}
        chain.sandbox.scripts.add(name, after=after, **call)
    chain.summaries()
    assert chain.sandbox.counters["calls"] in requests
    chain.assert_table_is_truth(details=False)


@pytest.mark.parametrize("status", [400, 404, 416])
def test_a_list_that_loses_its_last_page(chain: Chain, status: int) -> None:
    """No page shows the new total before the API refuses one beyond the end."""
    sandbox = chain.sandbox
    sandbox.reset(days=1, agents=1, calls_per_day=102, beyond_end=status)
    first, second, third = (call["id"] for call in chain.truth()[:3])
    for call_id in (first, second):
        sandbox.scripts.add("erase", call_id=call_id)
    calls = chain.summaries()
    chain.assert_table_is_truth(details=False)

    sandbox.store.insert_late(sandbox.store.agent_ids[0], "2026-03-16T12:00:00Z")
    sandbox.scripts.add("erase", kind="performance", call_id=third)
    chain.performance(calls)
    scores = {row["id"]: row["final_score"] for row in chain.rows()}
    assert any(scores.values())
    assert all(scores.get(c["id"], c["final_score"]) == c["final_score"] for c in chain.truth())


def test_the_manifest_has_the_times_of_the_whole_walk(chain: Chain, long_list: list[Row]) -> None:
    """The manifest has no moment of the broken walk before."""
    sandbox, moments = chain.sandbox, list[datetime]()
    sandbox.scripts.add("erase", after=2, call_id=long_list[0]["id"])
    sandbox.state.before_request = lambda kind, _: moments.append(datetime.now(UTC))
    [walk] = ListManifest.load(parse_uri(str(chain.extract().returned))).agents
    agents, first, *broken, whole, second, last = moments
    assert walk.walks == 2
    assert walk.began_at is not None
    assert max(agents, first, *broken) < walk.began_at < whole < second < last < walk.ended_at


@pytest.mark.parametrize("moving", ["total", "rows"])
def test_a_list_that_never_rests(chain: Chain, long_list: list[Row], moving: str) -> None:
    sandbox, agent_id = chain.sandbox, long_list[0]["agent_id"]
    doomed = reversed(long_list)

    def move(kind: str, count: int) -> None:
        if kind == "calls":
            sandbox.store.insert_late(agent_id, "2026-03-16T23:59:59.998Z")
            if moving == "rows":
                sandbox.store.erase(next(doomed)["id"])

    sandbox.state.before_request = move
    # A later try can find it at rest.
    refused(chain.extract, "changed while it was read", kind=TalkPilotTaskError)
    assert 3 <= sandbox.counters["calls"] <= 9
    assert not list(local(chain.staging_uri).rglob("calls-*"))
    with pytest.raises(NotFound):
        chain.bigquery.get_table(chain.table)

    sandbox.state.before_request = None
    chain.summaries()
    chain.assert_table_is_truth(details=False)


def test_agents_that_are_finished_are_kept(chain: Chain) -> None:
    sandbox = chain.sandbox
    sandbox.reset(days=1, agents=3, calls_per_day=600)
    restless = sandbox.store.agents[-1]["id"]

    def move(kind: str, count: int) -> None:
        if kind == "calls":
            sandbox.store.insert_late(restless, "2026-03-16T00:00:00.002Z")

    sandbox.state.before_request = move
    refused(chain.extract, kind=TalkPilotTaskError)
    sandbox.state.before_request = None
    chain.spent()
    chain.summaries()
    assert chain.spent()["calls"] == 3
    chain.assert_table_is_truth(details=False)
