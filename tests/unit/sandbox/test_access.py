"""Keys: which get in, and what they see."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest


@pytest.mark.parametrize(
    ("path", "key"), [("/agents/{agent}/calls", None), ("/nothing", "tp_live_wrong")]
)
def test_no_key_or_an_unknown_one(api: Any, path: str, key: str | None) -> None:
    response = api.get(path.format(agent=api.agent), key=key)
    assert response.status_code == 401
    assert response.json()["error"]["code"] == "UNAUTHORIZED"
    assert response.json()["error"]["request_id"].startswith("req_")
    assert "x-ratelimit-limit" in response.headers


def test_inactive_and_expired_keys(api: Any) -> None:
    now = dt.datetime.now(dt.UTC)
    inactive = api.sandbox.add_key("inactive", active=False)
    expired = api.sandbox.add_key("expired", expires_at=now - dt.timedelta(seconds=1))
    future = api.sandbox.add_key("future", expires_at=now + dt.timedelta(hours=1))
    assert api.get("/agents", key=inactive).status_code == 401
    assert api.get("/agents", key=expired).status_code == 401
    assert api.get("/agents", key=future).status_code == 200
    api.sandbox.settings.api_keys[future].active = False
    assert api.get("/agents", key=future).status_code == 401


@pytest.mark.parametrize(
    ("settings", "status", "code"),
    [
        ({}, 403, "AGENT_NOT_ACCESSIBLE"),
        ({"era": "spring"}, 404, "NOT_FOUND"),
        ({"era": "spring", "hidden_agent_status": 403}, 403, "AGENT_NOT_ACCESSIBLE"),
    ],
)
def test_agents_outside_the_list(
    api: Any, settings: dict[str, Any], status: int, code: str
) -> None:
    mine, other = api.sandbox.store.agent_ids
    call_id = api.truth(other)[0]["id"]
    key = api.sandbox.add_key("one", allowed_agent_ids=[mine.upper()])
    api.sandbox.settings.patch(**settings)
    assert [agent["id"] for agent in api.get("/agents", key=key).json()["data"]] == [mine]
    assert api.get(f"/agents/{mine}/calls", key=key).status_code == 200
    for path in (f"/agents/{other}/calls", f"/agents/{other}/calls/{call_id}"):
        response = api.get(path, key=key)
        assert (response.status_code, response.json()["error"]["code"]) == (status, code)
    for path in (f"/agents/{call_id}/calls", f"/agents/{call_id}/calls/{call_id}"):
        response = api.get(path, key=key)
        assert (response.status_code, response.json()["error"]["code"]) == (404, "NOT_FOUND")


def test_counters_and_log_have_only_the_prefix_of_a_key(api: Any) -> None:
    other = api.sandbox.add_key("other")
    api.get("/health", key=None)
    api.get("/agents")
    api.calls()
    api.detail(api.truth()[0]["id"])
    api.get("/agents", key=other)
    assert api.sandbox.counters == {"health": 1, "agents": 2, "calls": 1, "detail": 1}
    assert api.sandbox.counters_of(other) == {"agents": 1}
    assert api.sandbox.counters_of(None) == {"health": 1}
    log = api.sandbox.requests
    assert [request.key_prefix for request in log[:2]] == [None, api.sandbox.api_key[:13]]
    assert api.sandbox.api_key not in repr(log)
    api.sandbox.reset_counters()
    assert not api.sandbox.counters
    assert api.sandbox.requests == []
