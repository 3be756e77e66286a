"""Loads may run any number of times and in any order, and bring nothing back that was purged."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.integration.chain import Chain, day
from tests.support.tables import assert_equal_rows, expected_rows, tables

pytestmark = pytest.mark.google


def live_call(chain: Chain, number: int = 0) -> dict[str, Any]:
    """Return a call that is neither purged nor deleted, with a transcript and a phone number."""
    found = [
        call
        for call in chain.truth()
        if not call["is_purged"] and not call["deleted_at"] and call["phone_number"]
        and (call["transcript"] or "").startswith('[{"role"')
        and (call["transcript"] or "").endswith("}]")
    ]  # fmt: skip
    return found[number]


def row_of(chain: Chain, call: dict[str, Any]) -> dict[str, Any]:
    [row] = [row for row in chain.rows() if row["id"] == call["id"]]
    return row


def test_an_unchanged_day_writes_nothing(chain: Chain) -> None:
    calls, details = chain.run()
    before = chain.rows(own_times=True)
    for manifest in (calls, details, *chain.run(), details, calls):
        result = chain.load(manifest).returned
        assert (result["changed"], result["erased"], result["merge_job_id"]) == (0, 0, None)
    assert chain.rows(own_times=True) == before, "not even synced_at is written"
    chain.assert_table_is_truth()


def test_details_before_calls(chain: Chain) -> None:
    calls = chain.extract().returned
    chain.load(chain.enrich(calls).returned)
    chain.assert_table_is_truth()
    chain.load(calls)
    chain.assert_table_is_truth()
    assert tables(chain.bigquery, chain.table) == ["calls"], "staging tables are dropped"


@pytest.mark.slow
def test_an_older_manifest_after_a_newer_one(chain: Chain) -> None:
    call = live_call(chain)
    old_calls, old_details = chain.run()
    chain.sandbox.store.edit(call["id"], note="the newer note", final_score=9)
    new_calls, new_details = chain.run()
    assert row_of(chain, call)["note"] == "the newer note"

    # The first one has something to merge: other software deleted a row.
    other = live_call(chain, 1)["id"]
    chain.bigquery.query(f"DELETE FROM `{chain.table}` WHERE id = '{other}'").result()
    chain.load(old_calls)
    for manifest in (old_details, new_calls, old_details, old_calls):
        chain.load(manifest)
        chain.assert_table_is_truth()
    chain.load(new_details)
    chain.assert_table_is_truth()


def test_an_edit_without_a_new_version_still_arrives(chain: Chain) -> None:
    """If updated_at did not change, the row that was read later wins."""
    call = live_call(chain)
    old, _ = chain.run()
    chain.sandbox.store.edit(call["id"], bump=False, note="silently changed")
    chain.run()
    assert row_of(chain, call)["note"] == "silently changed"
    chain.load(old)
    assert row_of(chain, call)["note"] == "silently changed"


@pytest.mark.slow
def test_purged_stays_purged(chain: Chain) -> None:
    truth = chain.truth()
    parsed = live_call(chain)
    raw = next(call for call in truth if (call["transcript"] or "").endswith('{"role":"us'))
    old_calls, old_details = chain.run()
    assert row_of(chain, parsed)["transcript"]
    assert row_of(chain, raw)["transcript_raw"] == raw["transcript"]
    for call in (parsed, raw):
        chain.sandbox.store.purge(call["id"])
    new_calls = chain.summaries()
    for manifest in (new_calls, old_calls, old_details, new_calls):
        chain.load(manifest)
        for call in (parsed, raw):
            row = row_of(chain, call)
            assert row["is_purged"]
            assert (row["transcript"], row["transcript_raw"]) == ([], None)
            assert row["phone_number"] is None
    chain.run()
    chain.assert_table_is_truth()


def test_rows_that_an_earlier_version_doubled(chain: Chain) -> None:
    """The newest row of each call stays, with the users' own columns."""
    chain.run()
    chain.bigquery.query(f"ALTER TABLE `{chain.table}` ADD COLUMN reviewed BOOL").result()
    chain.bigquery.query(f"UPDATE `{chain.table}` SET reviewed = TRUE WHERE TRUE").result()
    call = live_call(chain)["id"]
    older = "'older' AS note, TIMESTAMP '2026-03-16 00:00:00+00' AS updated_at"
    for columns, which in (("*", "TRUE"), (f"* REPLACE ({older})", f"id = '{call}'")):
        chain.bigquery.query(
            f"INSERT INTO `{chain.table}` SELECT {columns} FROM `{chain.table}` WHERE {which}"
        ).result()
    assert len(chain.rows()) == 2 * 46 + 2
    assert chain.load(chain.extract().returned).returned["changed"] == 46 + 2
    rows = chain.rows()
    assert {row.pop("reviewed") for row in rows} == {True}
    assert_equal_rows(rows, expected_rows(chain.truth()))


def test_after_a_user_emptied_all_tables(chain: Chain) -> None:
    """The lock has its row again. Without it, BigQuery would let two loads insert one call."""
    chain.summaries()
    for table in (chain.table, f"{chain.table}_lock"):
        chain.bigquery.query(f"TRUNCATE TABLE `{table}`").result()
    chain.summaries()
    chain.assert_table_is_truth(details=False)
    assert chain.bigquery.get_table(f"{chain.table}_lock").num_rows == 1


def test_overlapping_loads_at_once(chain: Chain) -> None:
    """A backfill of two days beside the daily run of one, calls and details."""
    # The sandbox's emulator can mix up the rows of the table of agents and another statement's
    # result. Runs that name their agents do not read that table.
    agents = chain.sandbox.store.agent_ids
    daily = chain.extract(agent_ids=agents).returned
    both = (day(0)[0], day(1)[1])
    backfill = chain.extract(interval=both, agent_ids=agents).returned
    chain.sandbox.store.edit(chain.sandbox.store.truth(*day(0))[0]["id"], note="edited between")
    newest = chain.extract(interval=both, agent_ids=agents).returned
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(chain.load, (daily, backfill, newest)))
    details = [chain.enrich(manifest).returned for manifest in (daily, newest)]
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(chain.load, details))
    chain.assert_table_is_truth(day(0), day(1))
    assert tables(chain.bigquery, chain.table) == ["calls"]
