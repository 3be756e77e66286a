"""Requests are the currency: exactly how many each piece of work costs."""

from __future__ import annotations

from collections import Counter

import pytest

from airflow_provider_talkpilot.sandbox import Sandbox
from tests.integration.chain import Chain, day
from tests.support.tables import spared_of


def spent(sandbox: Sandbox) -> dict[str, int]:
    """Requests by kind since the last time."""
    counts = dict(sandbox.counters)
    sandbox.reset_counters()
    return counts


def requested(sandbox: Sandbox) -> Counter[str]:
    """How often each address was requested since the last time, whatever the response."""
    return Counter(f"{request.path} {request.query}" for request in sandbox.requests)


def test_a_day(chain: Chain) -> None:
    sandbox = chain.sandbox
    sandbox.reset(calls_per_day=202)
    calls = chain.extract()
    # 101 calls of each agent, and its first call of the next day, within the margin: 2 pages.
    assert spent(sandbox) == {"agents": 1, "calls": 4}
    chain.load(calls.returned)
    assert spent(sandbox) == {}
    details = chain.enrich(calls.returned)
    assert [path for path, times in requested(sandbox).items() if times > 1] == []
    assert spent(sandbox) == {"detail": 202}
    chain.load(details.returned)
    assert spent(sandbox) == {}

    assert calls.xcoms["summary"]["requests"] == {"agents": 1, "calls": 4}
    assert details.xcoms["summary"]["requests"] == {"detail": 202}


def test_a_day_of_which_staff_edited_every_call(chain: Chain) -> None:
    """Lists and records alone are read again: neither a detail nor a score is missing."""
    sandbox = chain.sandbox
    sandbox.reset(calls_per_day=202)
    chain.enrich_options["details"] = "until_complete"
    calls = chain.summaries()
    chain.performance(calls)
    chain.load(str(chain.enrich(calls).returned))
    # A record has the score of a purged call, and nobody has its transcript.
    known = spared_of(sandbox.truth(*chain.interval))
    wanted = 202 - len(known)
    assert spent(sandbox) == {"agents": 1, "calls": 4, "performance": 4, "detail": wanted}
    chain.assert_table_is_truth(spared=known)
    for call in sandbox.truth(*chain.interval):
        sandbox.edit(call["id"], done=not call["done"], note="called back")
    calls = chain.summaries()
    chain.performance(calls)
    chain.load(str(chain.enrich(calls).returned))
    assert spent(sandbox) == {"agents": 1, "calls": 4, "performance": 4}
    truth = {call["id"]: call for call in sandbox.truth(*chain.interval)}
    same = "note", "done", "final_score", "call_summary"
    for row in chain.rows():
        assert [row[name] for name in same] == [truth[row["id"]][name] for name in same]


@pytest.mark.parametrize(("calls", "pages"), [(0, 1), (100, 1), (101, 2)])
def test_pages_of_one_agent(chain: Chain, calls: int, pages: int) -> None:
    sandbox = chain.sandbox
    sandbox.reset(days=1, agents=1, calls_per_day=calls)
    chain.extract()
    assert spent(sandbox) == {"agents": 1, "calls": pages}


def test_rows_in_the_margin_are_listed_too(chain: Chain) -> None:
    sandbox = chain.sandbox
    sandbox.reset(days=1, agents=1, calls_per_day=100)
    sandbox.insert_late(sandbox.store.agent_ids[0], "2026-03-17T00:00:00.000Z")
    staged = chain.extract()
    assert spent(sandbox) == {"agents": 1, "calls": 2}
    assert staged.xcoms["summary"]["calls"] == 100


def test_named_agents_cost_no_list_of_agents(chain: Chain) -> None:
    sandbox = chain.sandbox
    chain.extract(agent_ids=sandbox.store.agent_ids)
    assert spent(sandbox) == {"calls": 2}


def test_an_agent_named_twice_is_walked_once(chain: Chain) -> None:
    sandbox = chain.sandbox
    chain.extract(agent_ids=sandbox.store.agent_ids[:1] * 2)
    assert spent(sandbox) == {"calls": 1}


def test_more_agents_than_a_page_holds(chain: Chain) -> None:
    sandbox = chain.sandbox
    sandbox.reset(days=1, agents=101, calls_per_day=101)
    chain.summaries()
    assert spent(sandbox) == {"agents": 2, "calls": 101}
    chain.assert_table_is_truth(details=False)


def test_an_interval_within_one_that_was_run(chain: Chain) -> None:
    chain.run()
    spent(chain.sandbox)
    chain.interval = "2026-03-16T06:00:00", "2026-03-16T12:00:00"
    chain.run()
    assert "detail" not in spent(chain.sandbox)
    chain.assert_table_is_truth(day())


def test_only_changed_calls_are_asked_for_again(chain: Chain) -> None:
    sandbox = chain.sandbox
    chain.run()
    live = [call["id"] for call in sandbox.truth(*chain.interval) if not call["is_purged"]]
    sandbox.edit(live[0], note="changed")
    sandbox.score(live[1], 7)
    sandbox.insert_late(sandbox.store.agent_ids[1], "2026-03-16T10:00:00Z")
    spent(sandbox)
    chain.run()
    assert spent(sandbox) == {"agents": 1, "calls": 2, "detail": 3}
    chain.assert_table_is_truth()


def test_details_turned_off_cost_nothing(chain: Chain) -> None:
    from airflow.providers.common.compat.sdk import AirflowSkipException

    calls = chain.summaries()
    spent(chain.sandbox)
    with pytest.raises(AirflowSkipException):
        chain.enrich(calls, enabled="{{ params.enrich }}", params={"enrich": False})
    assert spent(chain.sandbox) == {}


def test_the_key_goes_to_the_api_alone(chain: Chain) -> None:
    """No recording is fetched, no request goes to another host or path."""
    chain.run()
    sandbox = chain.sandbox
    assert {request.kind for request in sandbox.requests} == {"agents", "calls", "detail"}
    assert {request.method for request in sandbox.requests} == {"GET"}
    assert {request.host for request in sandbox.requests} == {f"127.0.0.1:{sandbox.port}"}
