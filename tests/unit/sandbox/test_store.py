"""Changes of calls, and what a correct copy has after them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_talkpilot.sandbox import SandboxSettings
from airflow_provider_talkpilot.sandbox.calls.store import CallStore


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
    assert store.purge_by_retention("2026-06-14", [short])
    assert {row["agent_id"] for row in everything(store) if not row["is_purged"]} == {standard}
    settings.era = "spring"
    assert store.purge_by_retention() == []
    settings.era = "now"
    assert store.purge_by_retention()
    assert all(row["is_purged"] for row in everything(store))


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
