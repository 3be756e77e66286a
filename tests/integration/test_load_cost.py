"""A load costs one load job and one merge, and touches only the partitions of its interval."""

from __future__ import annotations

import datetime as dt
import re
from collections import Counter
from typing import Any

import pytest
from google.cloud.bigquery import Client, QueryJob

from tests.integration.chain import DAY, Chain

pytestmark = pytest.mark.slow

DAYS = 1000


@pytest.fixture
def jobs_started(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Counts the jobs that are sent to BigQuery, by the first word of their statements."""
    started: Counter[str] = Counter()
    query, load = Client.query, Client.load_table_from_file

    def counted_query(self: Client, statement: str, *args: Any, **kwargs: Any) -> QueryJob:
        words = re.sub(r"--[^\n]*", "", statement).split()
        started[words[0]] += 1
        return query(self, statement, *args, **kwargs)

    def counted_load(self: Client, *args: Any, **kwargs: Any) -> Any:
        started["load job"] += 1
        return load(self, *args, **kwargs)

    monkeypatch.setattr(Client, "query", counted_query)
    monkeypatch.setattr(Client, "load_table_from_file", counted_load)
    return started


@pytest.mark.parametrize(("agents", "calls"), [(1, 1), (80, 160)])
def test_one_load_job_and_one_merge(
    chain: Chain, jobs_started: Counter[str], agents: int, calls: int, pytestconfig: pytest.Config
) -> None:
    # A comparison tells what is to be done, and then the table's number of rows, that it was done.
    # The sandbox's emulator does not count rows that statements insert: there it compares again.
    comparisons = 2 if pytestconfig.getoption("bigquery") == "sandbox" else 1
    chain.sandbox.reset(days=1, agents=agents, calls_per_day=calls)
    calls_manifest = chain.extract().returned
    chain.load(calls_manifest)
    # New agents are merged.
    started = {"load job": 1, "CREATE": 1, "BEGIN": 1, "SELECT": comparisons, "MERGE": 1}
    assert jobs_started == started

    details = chain.enrich(calls_manifest).returned
    jobs_started.clear()
    chain.load(details)
    assert jobs_started == {"load job": 1, "BEGIN": 1, "SELECT": 1}
    chain.assert_table_is_truth()


def test_a_row_of_other_software_costs_a_second_look(
    chain: Chain, jobs_started: Counter[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest, query = chain.extract().returned, Client.query
    agent_id = chain.sandbox.store.agent_ids[0]

    def meddle(self: Client, statement: str, *args: Any, **kwargs: Any) -> QueryJob:
        if "BEGIN TRANSACTION" in statement:
            other = f"'other', '{agent_id}', TIMESTAMP '2026-01-01 00:00:00+00'"
            columns = "id, agent_id, created_at"
            query(self, f"INSERT INTO `{chain.table}` ({columns}) VALUES ({other})").result()
        return query(self, statement, *args, **kwargs)

    monkeypatch.setattr(Client, "query", meddle)
    assert chain.load(manifest).returned["live"] == 46
    assert jobs_started["SELECT"] == 2


def test_of_a_thousand_days_one_is_touched(chain: Chain) -> None:
    """Every other row stays as it is, whatever the API says of it."""
    chain.summaries()
    agent_id = chain.sandbox.store.agent_ids[0]
    first = DAY - dt.timedelta(days=DAYS)
    chain.bigquery.query(
        f"INSERT INTO `{chain.table}` (id, agent_id, created_at, note, synced_at) "
        f"SELECT CONCAT('old-', CAST(day AS STRING)), '{agent_id}', TIMESTAMP(day), 'kept', "
        f"TIMESTAMP '2026-01-01 00:00:00+00' FROM UNNEST(GENERATE_DATE_ARRAY('{first}', "
        f"'{DAY - dt.timedelta(days=1)}')) AS day"
    ).result()
    newest = chain.truth()
    chain.sandbox.store.edit(newest[0]["id"], note="edited")
    chain.sandbox.store.erase(newest[1]["id"])
    before = {row["id"]: row for row in chain.rows(own_times=True)}
    result = chain.load(chain.extract().returned, max_erased_share=1).returned

    after = {row["id"]: row for row in chain.rows(own_times=True)}
    assert len(after) == DAYS + len(newest)
    touched = {key for key, row in after.items() if row != before[key]}
    assert touched == {call["id"] for call in newest[:2]}, "what changed, and no other"
    assert (result["changed"], result["erased"]) == (1, 1)
