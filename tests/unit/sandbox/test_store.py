"""The truth and its mutators."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_talkpilot.sandbox import SandboxSettings
from airflow_provider_talkpilot.sandbox.data import CallMaker
from airflow_provider_talkpilot.sandbox.store import CallStore


@pytest.fixture
def store() -> CallStore:
    return CallStore(SandboxSettings(days=2, calls_per_day=60))


def everything(store: CallStore) -> list[dict[str, Any]]:
    return store.truth("2000-01-01", "2100-01-01")


def test_updated_at_strictly_increases(store: CallStore) -> None:
    ids = [row["id"] for row in everything(store)[:40]]
    moments = [store.edit(call_id, note="x") for call_id in ids for _ in range(5)]
    moments += [store.purge(ids[0]), store.soft_delete(ids[0]), store.score(ids[0], 3)]
    assert moments == sorted(set(moments))
    row = next(row for row in everything(store) if row["id"] == ids[0])
    assert row["updated_at"] == moments[-1]


def test_edit_and_score(store: CallStore) -> None:
    row = next(row for row in everything(store) if row["final_score"] is None)
    store.edit(row["id"], note="später", done=False, mood="new field")
    store.score(row["id"], 9)
    store.edit(row["id"], transcript=[{"role": "user", "text": "Ä"}])
    after = store.detail(store.find(row["id"]) or 0)
    assert (after["note"], after["done"], after["final_score"]) == ("später", False, 9)
    assert after["mood"] == "new field"
    assert after["transcript"] == '[{"role":"user","text":"Ä"}]'
    assert "final_score" not in store.list_row(store.find(row["id"]) or 0)
    quiet = store.score(row["id"], 2, bump=False)
    assert quiet == after["updated_at"]


def test_purge(store: CallStore) -> None:
    row = next(row for row in everything(store) if row["transcript"] and row["phone_number"])
    store.purge(row["id"])
    after = store.detail(store.find(row["id"]) or 0)
    assert after["is_purged"] is True
    assert after["transcript"] is None
    assert after["phone_number"] is None
    assert after["customer_name"] == row["customer_name"]
    assert after["updated_at"] > row["updated_at"]


def test_soft_delete_restore_erase(store: CallStore) -> None:
    agent = store.agent_ids[0]
    rows = [row for row in everything(store) if row["agent_id"] == agent]
    row = next(row for row in rows if row["deleted_at"] is None)
    _, before = store.page(agent)
    moment = store.soft_delete(row["id"])
    assert store.list_row(store.find(row["id"]) or 0)["deleted_at"] == moment
    assert store.page(agent)[1] == before - 1
    assert store.page(agent, include_deleted=True)[1] == len(rows)
    store.restore(row["id"])
    assert store.page(agent)[1] == before
    store.erase(row["id"])
    assert store.find(row["id"]) is None
    assert store.page(agent, include_deleted=True)[1] == len(rows) - 1
    assert row["id"] not in {row["id"] for row in everything(store)}
    with pytest.raises(KeyError):
        store.erase(row["id"])


def test_an_emptied_trash_is_gone_for_good(store: CallStore) -> None:
    agent, other = store.agent_ids
    there = everything(store)
    kept = next(row["id"] for row in there if row["agent_id"] == agent and not row["deleted_at"])
    store.soft_delete(kept)
    store.restore(kept)
    deleted = {row["id"] for row in there if row["deleted_at"] and row["agent_id"] == agent}
    assert deleted
    assert set(store.empty_trash([agent.upper()])) == deleted
    assert {row["id"] for row in everything(store)} == {row["id"] for row in there} - deleted
    assert all(store.find(call_id) is None for call_id in deleted)
    assert store.empty_trash([agent]) == []
    assert store.page(agent)[1] == store.page(agent, include_deleted=True)[1]
    assert store.page(other)[1] < store.page(other, include_deleted=True)[1]
    with pytest.raises(KeyError):
        store.empty_trash(["nobody"])


def test_done_calls_move_to_the_trash(store: CallStore) -> None:
    before = {row["id"]: row for row in everything(store)}
    moved = store.auto_delete_done_calls()
    after = everything(store)
    assert set(moved) == {
        call_id for call_id, row in before.items() if row["done"] and not row["deleted_at"]
    }
    assert {row["id"] for row in after if row["deleted_at"]} >= set(moved)
    assert not [row for row in after if row["done"] and not row["deleted_at"]]
    assert all(row["updated_at"] > before[row["id"]]["updated_at"]
               for row in after if row["id"] in moved)  # fmt: skip
    store.empty_trash()
    assert {row["done"] for row in everything(store)} == {False, None}


def test_purge_by_retention() -> None:
    settings = SandboxSettings(days=2, calls_per_day=60)
    store = CallStore(settings)
    short, standard = store.agent_ids
    store.edit_agent(short, retention_days=30)
    first_day = {row["id"] for row in store.truth("2026-03-16", "2026-03-17", [short])}
    purged = {row["id"] for row in everything(store) if row["is_purged"]}
    assert store.purge_by_retention("2026-04-14T23:59:59Z") == []
    gone = store.purge_by_retention("2026-04-15T00:00:00Z")
    assert [row["created_at"] for row in everything(store) if row["id"] in gone] == [
        "2026-03-16T00:00:00.000Z"
    ]
    gone += store.purge_by_retention("2026-04-15T23:59:59.999Z")
    assert set(gone) == first_day - purged
    for row in everything(store):
        assert row["is_purged"] == (row["id"] in first_day | purged)
        assert not (row["is_purged"] and (row["transcript"] or row["phone_number"]))
    days = {row["created_at"][:10] for row in everything(store) if not row["is_purged"]}
    assert days == {"2026-03-16", "2026-03-17"}
    assert store.purge_by_retention("2026-06-14", [short])
    assert {row["agent_id"] for row in everything(store) if not row["is_purged"]} == {standard}
    settings.retention_purges = False
    assert store.purge_by_retention() == []
    settings.patch(era="spring", retention_purges=None)
    assert store.purge_by_retention() == []
    settings.era = "now"
    assert store.purge_by_retention()
    assert all(row["is_purged"] for row in everything(store))


def test_agents_can_be_edited(store: CallStore) -> None:
    agent = store.agent_ids[1]
    before = store.agents[0]
    moment = store.edit_agent(agent, retention_days=7, mood="new field")
    assert store.agents[0] == before | {
        "retention_days": 7,
        "mood": "new field",
        "updated_at": moment,
    }
    assert moment > before["updated_at"]
    with pytest.raises(ValueError, match="id"):
        store.edit_agent(agent, id="x")
    with pytest.raises(KeyError):
        store.edit_agent("nobody", name="x")


def test_insert_late(store: CallStore) -> None:
    agent = store.agent_ids[1]
    call_id = store.insert_late(agent, "2026-03-16T00:00:00Z", customer_name="Spät", duration=1)
    row = store.detail(store.find(call_id, agent) or 0)
    assert row["created_at"] == "2026-03-16T00:00:00.000Z"
    assert (row["customer_name"], row["duration"]) == ("Spät", 1)
    assert row["updated_at"] > row["created_at"]
    hidden = store.insert_late(agent, "2026-03-16T12:00:00.5Z", deleted_at="2026-03-17T00:00:00Z")
    assert hidden in {row["id"] for row in everything(store)}
    found = [store.list_row(n)["id"] for n in store.page(agent, limit=1000)[0]]
    assert call_id in found
    assert hidden not in found
    with pytest.raises(KeyError):
        store.insert_late("nobody", "2026-03-16")
    with pytest.raises(ValueError, match="created_at"):
        store.edit(call_id, created_at="2026-03-17T00:00:00Z")


def test_truth_is_half_open_and_sorted(store: CallStore) -> None:
    day = store.truth("2026-03-16", "2026-03-17T00:00:00Z")
    next_day = store.truth("2026-03-17", "2026-03-18")
    assert len(day) == len(next_day) == 60
    assert {row["created_at"][:10] for row in day} == {"2026-03-16"}
    assert day[0]["created_at"] == "2026-03-16T00:00:00.000Z"
    assert day[-1]["created_at"] == "2026-03-16T23:59:59.999Z"
    order = [(row["created_at"][:23], row["id"]) for row in day]
    assert [moment for moment, _ in order] == sorted(moment for moment, _ in order)
    assert all("audio_file_url" not in row for row in day)
    one = store.truth("2026-03-16", "2026-03-17", [store.agent_ids[0]])
    assert {row["agent_id"] for row in one} == {store.agent_ids[0]}
    assert len(one) == 30


def test_added_agent(store: CallStore) -> None:
    agent = store.add_agent(name="Neu")
    assert store.page(agent) == ([], 0)
    store.insert_late(agent, "2026-03-16")
    assert store.page(agent)[1] == 1
    assert store.agents[0]["name"] == "Neu"


@given(st.integers(0, 2**40), st.integers(0, 2**32))
def test_ids_lead_back(ordinal: int, seed: int) -> None:
    maker = CallMaker(seed)
    call_id = maker.call_uuid(ordinal)
    assert maker.ordinal(call_id) == ordinal
    assert call_id[14] == "4"
    assert call_id[19] in "89ab"
    other = call_id[:14] + "7" + call_id[15:]
    assert maker.ordinal(other) != ordinal


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["edit", "purge", "soft_delete", "restore", "erase", "insert_late"]),
            st.integers(0, 1000),
        ),
        max_size=30,
    )
)
def test_any_history_keeps_lists_and_truth_equal(history: list[tuple[str, int]]) -> None:
    store = CallStore(SandboxSettings(days=1, calls_per_day=12, agents=1))
    agent = store.agent_ids[0]
    for action, number in history:
        rows = everything(store)
        if action == "insert_late":
            minute = f"2026-03-16T12:00:{number % 3:02d}Z"
            store.insert_late(agent, minute)
        elif rows:
            getattr(store, action)(rows[number % len(rows)]["id"])
    truth = everything(store)
    listed = [store.list_row(n)["id"] for n in store.page(agent, include_deleted=True, limit=99)[0]]
    assert listed == [row["id"] for row in reversed(truth)]
    shown = [store.list_row(n)["id"] for n in store.page(agent, limit=99)[0]]
    assert shown == [row["id"] for row in reversed(truth) if row["deleted_at"] is None]


def test_many_threads(store: CallStore) -> None:
    agent = store.agent_ids[0]
    ids = [row["id"] for row in everything(store)]
    failures: list[Exception] = []

    def work(number: int) -> None:
        try:
            for n in range(50):
                store.edit(ids[(n * 7 + number) % len(ids)], note=str(n))
                store.insert_late(agent, f"2026-03-16T10:00:{n:02d}Z")
                ordinals, total = store.page(agent, include_deleted=True, limit=100)
                assert len(ordinals) == min(100, total)
        except Exception as failure:  # noqa: BLE001 - told to the main thread
            failures.append(failure)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(store) == 120 + 200


def test_large_lists_stay_quick() -> None:
    store = CallStore(SandboxSettings(days=5, calls_per_day=60_000, agents=1))
    agent = store.agent_ids[0]
    start = time.perf_counter()
    for page in range(100):
        assert len(store.page(agent, offset=page * 2800, limit=100)[0]) > 0
        store.page(agent, offset=page * 2800, limit=100, include_deleted=True)
    for ordinal in range(100):
        store.detail(ordinal)
    store.erase(store.list_row(5)["id"])
    assert time.perf_counter() - start < 2
