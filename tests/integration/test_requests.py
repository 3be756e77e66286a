"""Requests are the currency: exactly how many each piece of work costs."""

from __future__ import annotations

from collections import Counter

import pytest
from airflow.providers.common.compat.sdk import AirflowSkipException

from tests.integration.chain import Chain, day
from tests.support.tables import spared_of


def test_a_day(chain: Chain) -> None:
    chain.sandbox.reset(calls_per_day=202)
    calls = chain.extract()
    # 101 calls of each agent, and its first call of the next day, within the margin: 2 pages.
    assert chain.spent() == {"agents": 1, "calls": 4}
    chain.load(calls.returned)
    assert chain.spent() == {}
    details = chain.enrich(calls.returned)
    assert Counter(request.path for request in chain.sandbox.requests).most_common(1)[0][1] == 1
    assert chain.spent() == {"detail": 202}
    chain.load(details.returned)
    assert chain.spent() == {}

    assert calls.xcoms["summary"]["requests"] == {"agents": 1, "calls": 4}
    assert details.xcoms["summary"]["requests"] == {"detail": 202}


def test_a_day_of_which_staff_edited_every_call(chain: Chain) -> None:
    """Only lists and performance records are read again: no detail and no score is missing."""
    chain.sandbox.reset(calls_per_day=202)
    chain.enrich_options["details"] = "until_complete"

    # A purged call has no transcript, and its performance record has the score.
    spared = spared_of(chain.truth())
    lists = {"agents": 1, "calls": 4, "performance": 4}
    chain.run(performance=True)
    assert chain.spent() == {**lists, "detail": 202 - len(spared)}
    chain.assert_table_is_truth(spared=spared)
    for call in chain.truth():
        chain.sandbox.store.edit(call["id"], done=not call["done"], note="called back")
    chain.run(performance=True)
    assert chain.spent() == lists
    truth = {call["id"]: call for call in chain.truth()}
    same = "note", "done", "final_score", "call_summary"
    for row in chain.rows():
        assert [row[name] for name in same] == [truth[row["id"]][name] for name in same]


@pytest.mark.parametrize(
    ("calls", "in_margin", "pages"), [(0, 0, 1), (100, 0, 1), (100, 1, 2), (101, 0, 2)]
)
def test_pages_of_one_agent(chain: Chain, calls: int, in_margin: int, pages: int) -> None:
    """The API lists the calls in the margin of an interval, too."""
    chain.sandbox.reset(days=1, agents=1, calls_per_day=calls)
    for _ in range(in_margin):
        chain.sandbox.store.insert_late(chain.sandbox.store.agent_ids[0], "2026-03-17T00:00:00Z")
    assert chain.extract().xcoms["summary"]["calls"] == calls
    assert chain.spent() == {"agents": 1, "calls": pages}


def test_named_agents_cost_no_list_of_agents(chain: Chain) -> None:
    agents = chain.sandbox.store.agent_ids
    chain.extract(agent_ids=[*agents, agents[0]])
    assert chain.spent() == {"calls": 2}, "an agent that is named twice is walked once"


def test_more_agents_than_a_page_holds(chain: Chain) -> None:
    chain.sandbox.reset(days=1, agents=101, calls_per_day=101)
    chain.summaries()
    assert chain.spent() == {"agents": 2, "calls": 101}
    chain.assert_table_is_truth(details=False)


def test_an_interval_within_one_that_was_run(chain: Chain) -> None:
    chain.run()
    chain.spent()
    chain.interval = "2026-03-16T06:00:00", "2026-03-16T12:00:00"
    chain.run()
    assert chain.details_requested() == 0
    chain.assert_table_is_truth(day())


def test_details_turned_off_cost_nothing(chain: Chain) -> None:
    calls = chain.summaries()
    chain.spent()
    with pytest.raises(AirflowSkipException):
        chain.enrich(calls, enrich="{{ params.enrich }}", params={"enrich": False})
    assert chain.spent() == {}


def test_the_key_goes_to_the_api_alone(chain: Chain) -> None:
    """No recording is fetched, no request goes to another host or path."""
    chain.run()
    requests = {(each.method, each.kind, each.host) for each in chain.sandbox.requests}
    host = f"127.0.0.1:{chain.sandbox.port}"
    assert requests == {("GET", kind, host) for kind in ("agents", "calls", "detail")}
