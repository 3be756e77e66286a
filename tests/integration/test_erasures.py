"""Calls that are gone from TalkPilot: their rows are emptied, and a bad walk empties none."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from google.cloud.bigquery import Client, QueryJob

from airflow_provider_talkpilot.exceptions import TalkPilotTaskError
from airflow_provider_talkpilot.staging.manifests import ListManifest, WalkedAgent
from airflow_provider_talkpilot.staging.storage import parse_uri
from tests.integration.chain import Chain, refused
from tests.integration.test_loads import live_call
from tests.support.tables import spared_of, tables

pytestmark = pytest.mark.google


def truth_of(chain: Chain, count: int) -> list[dict[str, Any]]:
    """Return some calls of the interval that are not in the trash, as they are now."""
    return [call for call in chain.truth() if call["deleted_at"] is None][:count]


def erase(chain: Chain, calls: list[dict[str, Any]]) -> None:
    for call in calls:
        chain.sandbox.store.erase(call["id"])


def test_an_erased_call_keeps_an_empty_row(chain: Chain, caplog: pytest.LogCaptureFixture) -> None:
    """Later loads leave the row and its time alone, and no detail is fetched for it."""
    older = chain.run()
    gone = [live_call(chain), live_call(chain, 3)]
    erase(chain, gone)
    manifest = chain.extract().returned
    caplog.clear()
    with caplog.at_level(logging.INFO):
        result = chain.load(manifest).returned

    chain.assert_table_is_truth(erased=gone)
    assert (result["rows"], result["erased"], result["live"]) == (44, 2, 44)
    [line] = [line for line in caplog.messages if "Reconciled" in line]
    assert "44 call(s) in TalkPilot, 44 staged, 44 live in the table, 2 erased, 2 agent(s)" in line

    before = chain.rows(own_times=True)
    chain.spent()
    chain.run()
    assert chain.details_requested() == 0
    for manifest in (*older, *reversed(older)):
        chain.load(manifest, max_erased_share=1)
    assert chain.rows(own_times=True) == before


def test_a_call_that_comes_back(chain: Chain, tmp_path: Path) -> None:
    """A key could not see an agent for a while: all its calls come back, with their details."""
    hidden, seen = chain.sandbox.store.agent_ids
    gone = [call for call in chain.truth() if call["agent_id"] == hidden]
    chain.run()
    before = chain.rows()
    seen_only = parse_uri(str(chain.extract(agent_ids=[seen]).returned))
    walk = ListManifest.load(seen_only)
    now = datetime.now(UTC)
    walk.agents.append(WalkedAgent(agent_id=hidden, calls=0, began_at=now, ended_at=now))
    path = walk.save(seen_only.parent)
    chain.load(str(path), confirm_erasure=True)
    assert sum(row["erased_at"] is not None for row in chain.rows()) == len(gone)

    chain.staging_uri = (tmp_path / "cleaned").as_uri()
    chain.spent()
    chain.run()
    # A purged call that has its score again costs no detail: it has no transcript to get.
    scored = spared_of(gone)
    assert chain.details_requested() == len(gone) - len(scored)
    for row in before:
        if row["id"] in {call["id"] for call in scored}:
            row |= {"detail_updated_at": None, "detail_synced_at": None}
    assert chain.rows() == before


def test_an_interval_that_becomes_empty(chain: Chain) -> None:
    chain.run()
    gone = chain.truth()
    erase(chain, gone)
    manifest = chain.extract().returned
    result = chain.load(manifest, confirm_erasure=True).returned
    assert (result["erased"], result["load_job_id"]) == (46, None)
    assert all(row["erased_at"] and not row["transcript"] for row in chain.rows())
    assert tables(chain.bigquery, chain.table) == ["calls"]


def test_too_many_gone_calls_stop_the_load(chain: Chain) -> None:
    chain.run()
    before = chain.rows(own_times=True)
    gone = truth_of(chain, 11)
    erase(chain, gone)
    chain.sandbox.store.edit(truth_of(chain, 1)[0]["id"], note="edited meanwhile")
    manifest = chain.extract().returned
    refused(lambda: chain.load(manifest), "11 of the 46 call(s)", "confirm_erasure")
    assert chain.rows(own_times=True) == before, "nothing may be touched"

    # A DAG's param is rendered as a text.
    assert chain.load(manifest, confirm_erasure="True").returned["erased"] == 11
    chain.load(chain.enrich(manifest).returned)
    chain.assert_table_is_truth(erased=gone)


def in_trash(chain: Chain) -> list[dict[str, Any]]:
    """Return the interval's soft-deleted calls."""
    return [call for call in chain.truth() if call["deleted_at"] is not None]


def test_an_emptied_trash_does_not_count(chain: Chain) -> None:
    """An agent moves every done call to the trash, and a person empties it."""
    for call in truth_of(chain, 30):
        chain.sandbox.store.soft_delete(call["id"])
    chain.run()
    gone = in_trash(chain)
    assert len(gone) >= 30
    chain.sandbox.store.empty_trash()
    result = chain.load(chain.extract().returned).returned
    assert result["erased"] == len(gone)
    chain.assert_table_is_truth(erased=gone)


@pytest.mark.parametrize("through_the_trash", [False, True])
def test_beside_an_emptied_trash_live_calls_count(chain: Chain, through_the_trash: bool) -> None:
    """Calls that the table never saw in the trash count as live."""
    for call in truth_of(chain, 20):
        chain.sandbox.store.soft_delete(call["id"])
    chain.run()
    before = chain.rows(own_times=True)
    trash, live = in_trash(chain), truth_of(chain, 12)
    if through_the_trash:
        for call in live:
            chain.sandbox.store.soft_delete(call["id"])
    else:
        erase(chain, live)
    chain.sandbox.store.empty_trash()
    manifest = chain.extract().returned
    counts = f"12 of the {46 - len(trash)} call(s) ", f" {len(trash)} more are gone from "
    refused(lambda: chain.load(manifest), *counts, "confirm_erasure")
    assert chain.rows(own_times=True) == before, "nothing may be touched"
    assert chain.load(manifest, confirm_erasure=True).returned["erased"] == 12 + len(trash)
    chain.assert_table_is_truth(erased=trash + live)


def test_a_load_counts_the_purges_that_it_brought(chain: Chain) -> None:
    """It counts each once, also calls that were purged before their first load."""
    first = chain.load(chain.extract().returned).returned
    before = sum(bool(call["is_purged"]) for call in chain.truth())
    assert first["purged"] == before
    chain.sandbox.store.purge(next(c["id"] for c in truth_of(chain, 46) if not c["is_purged"]))
    manifest = chain.extract().returned
    assert [chain.load(manifest).returned["purged"] for _ in range(2)] == [1, 0]


def test_the_limits_of_the_load_task(chain: Chain) -> None:
    chain.summaries()
    erase(chain, truth_of(chain, 10))
    manifest = chain.extract().returned
    stopping: list[dict[str, Any]] = [{"max_erased": 9}, {"max_erased": 0, "max_erased_share": 0.2}]
    for limits in stopping:
        refused(partial(chain.load, manifest, **limits), "are gone from TalkPilot")
    loaded = chain.load(manifest, max_erased=9, max_erased_share=0.25)
    assert loaded.returned["erased"] == 10


def test_a_selection_erases_nothing(chain: Chain) -> None:
    chain.run()
    manifest = chain.extract(done=True).returned
    result = chain.load(manifest, max_erased_share=1).returned
    assert (result["erased"], result["live"]) == (0, None)
    chain.assert_table_is_truth()


def test_other_agents_and_other_days_stay(chain: Chain) -> None:
    first, second = chain.sandbox.store.agent_ids
    chain.run()
    gone = [c for c in chain.truth() if c["agent_id"] == first][:4]
    others = [c for c in chain.truth() if c["agent_id"] == second][:4]
    erase(chain, gone + others)
    manifest = chain.extract(agent_ids=[first]).returned
    assert chain.load(manifest).returned["erased"] == 4
    left = {row["id"] for row in chain.rows() if row["erased_at"] is None}
    assert {call["id"] for call in others} <= left


def test_a_rejected_record_is_not_gone(chain: Chain) -> None:
    """TalkPilot has the call, though its record failed validation this time."""
    chain.run()
    before = chain.rows()
    chain.sandbox.faults.add("no_start", kind="calls")
    manifest = chain.extract(max_rejects=1).returned
    result = chain.load(manifest, max_erased_share=1).returned
    assert result["erased"] == 0
    assert chain.rows() == before


def test_a_row_read_after_the_walk_began_is_not_gone(chain: Chain) -> None:
    """Another run loads a late row between this run's walk and its load."""
    manifest = chain.extract().returned
    agent_id = chain.sandbox.store.agent_ids[0]
    late = chain.sandbox.store.insert_late(agent_id, f"{chain.interval[0]}T10:00:00Z")
    chain.summaries()
    result = chain.load(manifest, max_erased_share=1).returned
    assert (result["rows"], result["live"], result["erased"]) == (46, 47, 0)
    assert late in {row["id"] for row in chain.rows() if row["erased_at"] is None}


def test_an_unequal_table_is_an_error(chain: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other software deletes a row during the load."""
    manifest = chain.extract().returned
    victim = live_call(chain)["id"]
    query = Client.query

    def meddle(self: Client, statement: str, *args: Any, **options: Any) -> QueryJob:
        job = query(self, statement, *args, **options)
        if "BEGIN TRANSACTION" in statement:
            job.result()
            query(chain.bigquery, f"DELETE FROM `{chain.table}` WHERE id = '{victim}'").result()
        return job

    with monkeypatch.context() as patch:
        patch.setattr(Client, "query", meddle)
        load = partial(chain.load, manifest)
        refused(load, "1 are missing", "deleted since", kind=TalkPilotTaskError)
    chain.load(manifest)
    chain.assert_table_is_truth(details=False)
