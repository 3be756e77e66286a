"""docs/warehouse.md: the table has what it describes, and its queries find what they promise."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_talkpilot.operators.bigquery import TalkPilotCreateViewsOperator
from airflow_provider_talkpilot.staging.rows.columns import RECORDING_COLUMNS
from tests.integration.chain import Chain
from tests.integration.test_loads import live_call, row_of
from tests.support.docs import code_by_heading, read, section, table
from tests.support.tables import Row
from tests.support.tasks import run_task

pytestmark = pytest.mark.slow

TEXT = read("warehouse")
QUERIES = code_by_heading(section(TEXT, "Queries"), "sql")
DATASET = "my-project.talkpilot."
# "The last 30 days" ends now: so do these calls.
TODAY = dt.datetime.now(dt.UTC).date()


def days_ago(days: int) -> str:
    return (TODAY - dt.timedelta(days=days)).isoformat()


def test_what_a_purge_empties(chain: Chain) -> None:
    unparsable = (c for c in chain.truth() if (c["transcript"] or "").endswith('{"role":"us'))
    calls = [live_call(chain), next(unparsable)]
    for call in calls:
        chain.sandbox.store.edit(
            call["id"], employee="Dr. Reyes", note="Called back.", final_score=7
        )
    chain.run()
    before = [row_of(chain, call) for call in calls]
    for call in calls:
        chain.sandbox.store.purge(call["id"])
    chain.run()
    after = [row_of(chain, call) for call in calls]
    emptied = {
        column
        for old, new in zip(before, after, strict=True)
        for column in old
        if old[column] not in (None, []) and new[column] in (None, [])
    }
    documented = {row[0] for row in table(section(TEXT, "Columns")) if row[4] == "empty"}
    # This chain has no webhooks, which bring turns, and no recordings.
    assert documented == emptied | {"turns", *RECORDING_COLUMNS}


@pytest.fixture
def recent(chain: Chain) -> Chain:
    """Calls of ten and nine days ago, and one of forty days ago, with views."""
    sandbox = chain.sandbox
    sandbox.reset(days=2, start=TODAY - dt.timedelta(days=10), calls_per_day=40)
    sandbox.store.insert_late(
        sandbox.store.agent_ids[1], f"{days_ago(40)}T12:00:00Z", duration=900, final_score=1
    )
    chain.interval = days_ago(41), days_ago(8)
    chain.run()
    run_task(TalkPilotCreateViewsOperator, table=chain.table)
    return chain


def live(chain: Chain) -> list[Row]:
    """Return the live calls of the last 30 days."""
    truth = chain.sandbox.store.truth(days_ago(10), days_ago(8))
    assert len(truth) >= 80
    return [call for call in truth if call["deleted_at"] is None]


def query(chain: Chain, title: str) -> list[Row]:
    dataset = chain.table.rpartition(".")[0]
    query = QUERIES[title].replace(DATASET, f"{dataset}.")
    assert dataset in query
    return [dict(row) for row in chain.bigquery.query(query).result()]


def change(chain: Chain, statement: str) -> None:
    chain.bigquery.query(statement.format(table=f"`{chain.table}`")).result()


def gone(chain: Chain, title: str) -> None:
    truth = chain.truth()
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


def without_details(chain: Chain, title: str) -> None:
    assert query(chain, title) == []
    changed = live(chain)[1]
    chain.sandbox.store.insert_late(changed["agent_id"], f"{days_ago(9)}T12:00:00Z")
    chain.sandbox.store.edit(changed["id"], note="Changed since.")
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


# These change the table, so they come last.
PROOFS: dict[str, Callable[[Chain, str], Any]] = {
    "Purged, soft-deleted and erased calls": gone,
    "Calls still without their details": without_details,
    "Calls that are there twice": twice,
}


def test_every_query(recent: Chain) -> None:
    assert PROOFS.keys() < QUERIES.keys()
    for title in QUERIES.keys() - PROOFS.keys():
        assert query(recent, title), title
    for title, prove in PROOFS.items():
        prove(recent, title)
