"""The admin side over HTTP."""

from __future__ import annotations

from typing import Any

import httpx
import pytest


@pytest.fixture
def admin(api: Any) -> Any:
    """Call the admin side: ``admin("POST", "/faults", {...})``."""

    def call(method: str, path: str, body: Any = None, **query: str) -> httpx.Response:
        return api.http.request(  # type: ignore[no-any-return]
            method, api.sandbox.admin_url + path, json=body, params=query or None
        )

    return call


def test_settings(api: Any, admin: Any) -> None:
    assert admin("GET", "/settings").json()["requests_per_minute"] is None
    response = admin("PATCH", "/settings", {"requests_per_minute": 5, "from_bound": "inclusive"})
    assert response.json()["from_bound"] == "inclusive"
    assert api.sandbox.settings.requests_per_minute == 5
    assert api.get("/agents").headers["x-ratelimit-limit"] == "5"


@pytest.mark.parametrize("body", [{"from_bound": "perhaps"}, [1]])
def test_wrong_settings_change_nothing(api: Any, admin: Any, body: Any) -> None:
    before = api.sandbox.settings.model_dump()
    if isinstance(body, dict):
        body = {"seed": 77, **body}
    response = admin("PATCH", "/settings", body)
    assert response.status_code == 400
    assert response.json()["error"]
    assert api.sandbox.settings.model_dump() == before


def test_keys(api: Any, admin: Any) -> None:
    admin("PUT", "/keys/tp_live_other", {"permissions": ["agents:read"]})
    assert api.get("/agents", key="tp_live_other").status_code == 200
    assert api.calls().status_code == 200
    assert api.get(f"/agents/{api.agent}/calls", key="tp_live_other").status_code == 403
    assert admin("DELETE", "/keys/tp_live_other").status_code == 200
    assert admin("DELETE", "/keys/tp_live_other").status_code == 404
    assert api.get("/agents", key="tp_live_other").status_code == 401


def test_counters_and_requests(api: Any, admin: Any) -> None:
    api.calls(limit=3)
    by_key = {api.sandbox.api_key[:13]: {"calls": 1}}
    assert admin("GET", "/counters").json() == {"counts": {"calls": 1}, "by_key": by_key}
    [request] = admin("GET", "/requests").json()
    assert (request["kind"], request["query"], request["status"]) == ("calls", "limit=3", 200)
    admin("DELETE", "/counters")
    assert admin("GET", "/counters").json() == {"counts": {}, "by_key": {}}


def test_faults_and_scripts(api: Any, admin: Any) -> None:
    call_id = api.truth()[0]["id"]
    assert admin("POST", "/faults", {"fault": "conflict", "kind": "detail"}).status_code == 200
    assert [fault["fault"] for fault in admin("GET", "/faults").json()] == ["conflict"]
    assert api.detail(call_id).status_code == 409
    assert admin("GET", "/faults").json() == []
    admin("POST", "/faults", {"fault": "conflict"})
    admin("DELETE", "/faults")
    script = {"action": "erase", "after": 1, "kind": "detail", "call_id": call_id}
    assert admin("POST", "/scripts", script).status_code == 200
    assert len(admin("GET", "/scripts").json()) == 1
    assert [api.detail(call_id).status_code for _ in range(2)] == [200, 404]
    admin("POST", "/scripts", {**script, "after": 5})
    admin("DELETE", "/scripts")
    assert admin("GET", "/scripts").json() == []
    assert admin("POST", "/faults", {"fault": "earthquake"}).status_code == 400


def test_changes_of_a_call_and_truth(api: Any, admin: Any) -> None:
    call_id = next(row["id"] for row in api.truth() if row["transcript"])
    for action, body, changed in (
        ("edit", {"note": "von außen"}, {"note": "von außen"}),
        ("score", {"final_score": 4}, {"final_score": 4}),
        ("soft_delete", None, {"is_purged": False}),
        ("restore", None, {"deleted_at": None}),
        ("purge", None, {"is_purged": True, "transcript": None}),
    ):
        updated = admin("POST", f"/calls/{call_id}/{action}", body).json()
        detail = api.detail(call_id).json()
        assert (changed | updated).items() <= detail.items()
        assert bool(detail["deleted_at"]) == (action == "soft_delete")
    admin("POST", f"/calls/{call_id}/erase")
    late = admin("POST", f"/agents/{api.agent}/calls", {"created_at": "2026-03-16T07:00:00Z"})
    truth = admin("GET", "/truth", start="2026-03-16", end="2026-03-17", agent_id=api.agent)
    ids = {row["id"] for row in truth.json()}
    assert ids & {call_id, late.json()["id"]} == {late.json()["id"]}
    assert truth.json() == api.sandbox.truth("2026-03-16", "2026-03-17", [api.agent])


def test_agents(api: Any, admin: Any) -> None:
    admin("PATCH", f"/agents/{api.agent}", {"retention_days": 14})
    added = admin("POST", "/agents", {"name": "Neu"}).json()["id"]
    agents = {agent["id"]: agent for agent in api.get("/agents").json()["data"]}
    assert agents[api.agent]["retention_days"] == 14
    assert agents[added]["name"] == "Neu"
    assert agents[added]["retention_days"] is None
    assert len({agent["organization_id"] for agent in agents.values()}) == 1
    assert admin("PATCH", "/agents/unknown", {"name": "x"}).status_code == 404


def test_housekeeping(api: Any, admin: Any) -> None:
    other = api.sandbox.store.agent_ids[1]
    in_trash = [row["id"] for row in api.truth() if row["deleted_at"]]
    of_other = api.rows(other, include_deleted="true")
    one = {"agent_ids": [api.agent.upper()]}
    moved = admin("POST", "/calls/auto_delete_done_calls", one).json()["ids"]
    assert moved
    assert {row["done"] for row in api.rows()} == {False, None}
    gone = admin("POST", "/calls/empty_trash", one).json()["ids"]
    assert set(gone) == {*in_trash, *moved}
    assert not {row["id"] for row in api.rows(include_deleted="true")} & set(gone)
    assert api.rows(other, include_deleted="true") == of_other
    purged = admin("POST", "/calls/purge_by_retention", {"moment": "2026-12-31"}).json()["ids"]
    assert purged
    assert all(row["is_purged"] for row in api.rows())
    assert admin("POST", "/calls/explode").status_code == 400


def test_wrong_calls(api: Any, admin: Any) -> None:
    call_id = api.truth()[0]["id"]
    assert admin("POST", "/calls/unknown/purge").status_code == 404
    assert admin("POST", f"/calls/{call_id}/explode").status_code == 400
    assert admin("POST", f"/calls/{call_id}/score", {"wrong": 1}).status_code == 400
    assert admin("GET", "/truth").status_code == 404
    assert admin("GET", "/nothing").status_code == 404


def test_quota_and_reset(api: Any, admin: Any) -> None:
    admin("PATCH", "/settings", {"requests_per_minute": 10, "minute_seconds": 86_400})
    admin("POST", "/spend", {"key": api.sandbox.api_key, "requests": 10})
    assert api.get("/agents").status_code == 429
    response = admin("POST", "/reset", {"days": ["2026-01-01"], "calls_per_day": 3, "agents": 1})
    assert response.json() == {"agents": api.sandbox.store.agent_ids, "calls": 3}
    assert api.get("/agents").status_code == 200
    assert len(api.truth()) == 3


def test_only_by_a_loopback_name(api: Any) -> None:
    url = f"{api.sandbox.admin_url}/settings"
    assert api.http.get(url, headers={"Host": "evil.example"}).status_code == 403
    assert api.http.get(url.replace("127.0.0.1", "localhost")).status_code == 200
