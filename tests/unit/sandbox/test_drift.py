"""Lists that move while someone walks them."""

from __future__ import annotations

from typing import Any

import pytest


def walk(api: Any, **query: Any) -> tuple[list[str], list[int]]:
    """Ids and totals of a walk in pages of ten."""
    ids, totals, page = [], [], 1
    while True:
        body = api.calls(limit=10, page=page, **query).json()
        ids += [row["id"] for row in body["data"]]
        totals.append(body["pagination"]["total"])
        if page >= body["pagination"]["pages"]:
            return ids, totals
        page += 1


def test_a_soft_delete_between_pages_skips_a_row(api: Any) -> None:
    before, totals = walk(api)
    api.sandbox.scripts.add("soft_delete", after=1, call_id=before[0])
    ids, moved = walk(api)
    assert set(before) - set(ids) == {before[10]}, "the row that slid over the page's edge"
    assert moved[:2] == [totals[0], totals[0] - 1]


@pytest.mark.parametrize(
    ("script", "after", "totals", "rows", "distinct"),
    [
        ("soft_delete", 2, [60] * 6, 60, 60),
        ("insert_late", 3, [60] * 3 + [61] * 4, 61, 60),
        ("erase", 1, [60] + [59] * 5, 59, 59),
    ],
)
def test_what_moves_a_list_with_its_trash(
    api: Any, script: str, after: int, totals: list[int], rows: int, distinct: int
) -> None:
    arguments = {"call_id": api.rows(include_deleted="true")[0]["id"]}
    if script == "insert_late":
        arguments = {"agent_id": api.agent, "created_at": "2026-03-17T23:59:59.999Z"}
    api.sandbox.reset_counters()
    api.sandbox.scripts.add(script, after=after, **arguments)
    ids, found = walk(api, include_deleted="true")
    assert found == totals
    assert (len(ids), len(set(ids))) == (rows, distinct)
    assert api.sandbox.scripts.waiting == []


def test_failing_hook_is_seen(api: Any) -> None:
    def hook(kind: str, count: int) -> None:
        raise LookupError("my mistake")

    api.sandbox.before_request = hook
    response = api.get("/agents")
    assert response.status_code == 500
    assert "my mistake" in response.json()["error"]["message"]
    api.sandbox.before_request = None
    api.sandbox.scripts.add("edit", after=1, kind="any", call_id="unknown", note="x")
    assert api.get("/agents").status_code == 500
