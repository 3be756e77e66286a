"""What docs/warehouse.md says of the table is so, and its queries find what they promise."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_talkpilot.operators.bigquery import TalkPilotCreateViewsOperator
from tests.integration.chain import Chain
from tests.integration.test_loads import live_call, row_of
from tests.integration.test_views import messages
from tests.support.docs import DOCS, code_by_heading, section, table
from tests.support.tables import Row
from tests.support.tasks import run_task

pytestmark = pytest.mark.slow

TEXT = (DOCS / "warehouse.md").read_text(encoding="utf-8")
QUERIES = code_by_heading(section(TEXT, "Queries"), "sql")
DATASET = "my-project.talkpilot."
# "The last 30 days" ends now: so do these calls.
TODAY = dt.datetime.now(dt.UTC).date()


def days_ago(days: int) -> str:
    return (TODAY - dt.timedelta(days=days)).isoformat()


def test_what_a_purge_empties(chain: Chain) -> None:
    def is_empty(value: object) -> bool:
        return value in (None, [])

    def unparsable(call: Row) -> bool:
        return bool((call["transcript"] or "").endswith('{"role":"us'))

    calls = [live_call(chain), next(filter(unparsable, chain.sandbox.truth(*chain.interval)))]
    for call in calls:
        chain.sandbox.edit(call["id"], employee="Dr. Reyes", note="Called back.", final_score=7)
    chain.run()
    before = [row_of(chain, call) for call in calls]
    for call in calls:
        chain.sandbox.purge(call["id"])
    chain.run()
    after = [row_of(chain, call) for call in calls]
    emptied = {
        column
        for old, new in zip(before, after, strict=True)
        for column in old
        if not is_empty(old[column]) and is_empty(new[column])
    }
    told = {row[0] for row in table(section(TEXT, "Columns")) if row[4] == "empty"}
    assert told == emptied | {"turns"}, "turns come by webhook alone, and none came"


@pytest.fixture
def recent(chain: Chain) -> Chain:
    """Calls of ten and nine days ago, and one of forty days ago, with views."""
    sandbox = chain.sandbox
    sandbox.reset(days=2, start=TODAY - dt.timedelta(days=10), calls_per_day=40)
    sandbox.insert_late(
        sandbox.store.agent_ids[1], f"{days_ago(40)}T12:00:00Z", duration=900, final_score=1
    )
    chain.interval = days_ago(41), days_ago(8)
    chain.run()
    run_task(TalkPilotCreateViewsOperator, table=chain.table)
    return chain


def live(chain: Chain) -> list[Row]:
    """The live calls of the last 30 days."""
    truth = chain.sandbox.truth(days_ago(10), days_ago(8))
    assert len(truth) == 80
    return [call for call in truth if call["deleted_at"] is None]


def query(chain: Chain, title: str) -> list[Row]:
    dataset = chain.table.rpartition(".")[0]
    query = QUERIES[title].replace(DATASET, f"{dataset}.")
    assert dataset in query
    return [dict(row) for row in chain.bigquery.query(query).result()]


def change(chain: Chain, statement: str) -> None:
    chain.bigquery.query(statement.format(table=f"`{chain.table}`")).result()


def moment(call: Row) -> dt.datetime:
    return dt.datetime.fromisoformat(call["created_at"])


def success_by_agent(chain: Chain, title: str) -> None:
    expected = {}
    for agent_id in chain.sandbox.store.agent_ids:
        calls = [call for call in live(chain) if call["agent_id"] == agent_id]
        known = [c["general_success"] for c in calls if c["general_success"] is not None]
        assert len(known) < len(calls)
        expected[agent_id] = len(calls), pytest.approx(sum(known) / len(known))
    rows = query(chain, title)
    assert {row["agent_id"]: (row["calls"], row["success_rate"]) for row in rows} == expected
    assert rows[0]["success_rate"] >= rows[1]["success_rate"]


def day_by_day(chain: Chain, title: str) -> None:
    rows = query(chain, title)
    assert [row["day"].isoformat() for row in rows] == [days_ago(10)] * 2 + [days_ago(9)] * 2
    assert sum(row["calls"] for row in rows) == len(live(chain))


def long_and_low(chain: Chain, title: str) -> None:
    expected = [
        call
        for call in live(chain)
        if call["duration"] >= 300 and call["final_score"] and call["final_score"] <= 3
    ]
    assert expected
    rows = query(chain, title)
    assert {row["id"]: row["call_summary"] for row in rows} == {
        call["id"]: call["call_summary"] for call in expected
    }
    order = [(row["final_score"], -row["duration"]) for row in rows]
    assert order == sorted(order)


def search(chain: Chain, title: str) -> None:
    expected = [
        (message["id"], message["position"], message["text"])
        for message in messages(live(chain))
        if message["role"] == "user" and "invoice" in message["text"].lower()
    ]
    assert expected
    rows = query(chain, title)
    assert sorted((row["id"], row["position"], row["text"]) for row in rows) == sorted(expected)


def gone(chain: Chain, title: str) -> None:
    truth = chain.sandbox.truth(days_ago(41), days_ago(8))
    erased = live(chain)[0]["id"]
    change(chain, f"UPDATE {{table}} SET erased_at = CURRENT_TIMESTAMP() WHERE id = '{erased}'")
    [row] = query(chain, title)
    assert row == {
        "calls": len(truth),
        "purged": sum(call["is_purged"] for call in truth),
        "soft_deleted": sum(call["deleted_at"] is not None for call in truth),
        "erased": 1,
    }
    assert row["purged"]
    assert row["soft_deleted"]


def freshness(chain: Chain, title: str) -> None:
    [row] = query(chain, title)
    assert row["newest_call"] == max(map(moment, chain.sandbox.truth(days_ago(10), days_ago(8))))
    assert row["last_change"] == max(row["synced_at"] for row in chain.rows(own_times=True))
    # BigQuery counts whole hours, the emulator how often the clock struck.
    assert row["hours_ago"] in (0, 1)
    change(
        chain,
        "UPDATE {table} SET synced_at = TIMESTAMP_SUB(synced_at, INTERVAL 30 HOUR) WHERE TRUE",
    )
    assert query(chain, title)[0]["hours_ago"] in (30, 31)


def without_details(chain: Chain, title: str) -> None:
    assert query(chain, title) == []
    changed = live(chain)[0]
    chain.sandbox.insert_late(changed["agent_id"], f"{days_ago(9)}T12:00:00Z")
    chain.sandbox.edit(changed["id"], note="Changed since.")
    calls = chain.summaries()
    rows = {row["day"].isoformat(): row for row in query(chain, title)}
    assert {day: (row["never_read"], row["changed_since"]) for day, row in rows.items()} == {
        days_ago(10): (0, 1),
        days_ago(9): (1, 0),
    }
    chain.load(chain.enrich(calls).returned)
    assert query(chain, title) == []


def twice(chain: Chain, title: str) -> None:
    assert query(chain, title) == []
    call = live(chain)[0]["id"]
    change(
        chain,
        "INSERT INTO {table} (id, agent_id, created_at) SELECT id, agent_id, created_at FROM "
        f"{{table}} WHERE id = '{call}'",
    )
    assert query(chain, title) == [{"id": call, "times": 2}]


PROOFS: dict[str, Callable[[Chain, str], Any]] = {
    "Success by agent, last 30 days": success_by_agent,
    "The last two weeks, day by day": day_by_day,
    "Long calls with a low score": long_and_low,
    "Who spoke of an invoice": search,
    "Purged, soft-deleted and erased calls": gone,
    "How fresh the table is": freshness,
    "Calls still without their details": without_details,
    "Calls that are there twice": twice,
}


def test_every_query_is_proved() -> None:
    assert list(PROOFS) == list(QUERIES)


@pytest.mark.parametrize("title", QUERIES)
def test_a_query(recent: Chain, title: str) -> None:
    PROOFS[title](recent, title)
