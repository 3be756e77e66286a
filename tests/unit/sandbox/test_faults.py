"""Faults and scripted changes: what each does, on which requests, how often."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ({"status": 502, "body": "html"}, "<html>"),
        ({"status": 502, "body": "empty"}, ""),
        ({"status": 546, "body": "code"}, '{"code":"WORKER_LIMIT","message":"Function failed'),
        ({"status": 540, "body": "message"}, '{"message":"Project paused"}'),
        ({"status": 401, "body": "msg", "message": "No header"}, '{"msg":"No header"}'),
        ({"status": 500, "body": "error", "message": "gone"}, '{"error":"gone"}'),
    ],
)
def test_status_from_the_edge(api: Any, fault: dict[str, Any], expected: str) -> None:
    """The edge's response has no rate headers, and costs no quota."""
    api.sandbox.settings.requests_per_minute = 60
    api.sandbox.faults.add("status", **fault)
    response = api.get("/agents")
    assert response.status_code == fault["status"]
    assert expected in response.text
    assert bool(response.content) == bool(expected)
    assert "x-ratelimit-limit" not in response.headers
    assert api.get("/agents").headers["x-ratelimit-remaining"] == "59"


def test_kind_times_and_after(api: Any) -> None:
    api.sandbox.faults.add("status", kind="detail", times=2, after=1, status=503)
    call_id = api.truth()[0]["id"]
    responses = []
    for _ in range(4):
        assert api.calls().status_code == 200
        responses.append(api.detail(call_id))
    assert [response.status_code for response in responses] == [200, 503, 503, 200]
    assert responses[1].json()["error"]["code"] == "INTERNAL_ERROR"
    assert "x-ratelimit-limit" in responses[1].headers
    assert api.sandbox.faults.waiting == []
    assert api.sandbox.counters["faults"] == 2


def test_rows_with_wrong_shape(api: Any) -> None:
    for fault, kind in (("no_pagination", "any"), ("no_id", "calls"), ("wrong_type", "detail")):
        api.sandbox.faults.add(fault, kind=kind)
    call_id = api.truth()[0]["id"]
    assert "pagination" not in api.calls().json()
    rows = api.calls().json()["data"]
    assert ["id" in row for row in rows] == [False] + [True] * 19
    assert isinstance(api.detail(call_id).json()["duration"], str)
    assert api.sandbox.faults.waiting == []
    assert all("id" in row for row in api.calls().json()["data"]), "kept rows are not spoilt"


def test_a_hook_or_a_script_that_fails_shows_why(api: Any) -> None:
    def hook(kind: str, count: int) -> None:
        raise LookupError("my mistake")

    api.sandbox.state.before_request = hook
    response = api.get("/agents")
    assert response.status_code == 500
    assert "my mistake" in response.json()["error"]["message"]
    api.sandbox.state.before_request = None
    api.sandbox.scripts.add("edit", kind="any", call_id="unknown", note="x")
    assert api.get("/agents").status_code == 500
