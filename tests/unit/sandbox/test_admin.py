"""The admin side over HTTP: each route does what the sandbox's own methods do."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

OTHER = "tp_live_other"
FAULT = {"fault": "conflict", "kind": "detail"}
ONE_DAY = {"days": ["2026-01-01"], "calls_per_day": 3, "agents": 1}
# In turn: a request, and what its response has. {call}, {agent} and {key} are filled in.
TURNS: list[tuple[str, str, Any, Any]] = [
    ("PATCH", "/settings", {"from_bound": "inclusive"}, {"from_bound": "inclusive"}),
    ("GET", "/settings", None, {"from_bound": "inclusive", "requests_per_minute": None}),
    ("PUT", f"/keys/{OTHER}", {"permissions": ["agents:read"]}, {"permissions": ["agents:read"]}),
    ("DELETE", f"/keys/{OTHER}", None, {}),
    ("DELETE", "/counters", None, {}),
    ("GET", "/counters", None, {"counts": {}, "by_key": {}}),
    ("POST", "/faults", FAULT, FAULT),
    ("GET", "/faults", None, [FAULT]),
    ("DELETE", "/faults", None, {}),
    ("GET", "/faults", None, []),
    ("POST", "/scripts", {"action": "erase", "call_id": "{call}"}, {"action": "erase"}),
    ("GET", "/scripts", None, [{"action": "erase"}]),
    ("DELETE", "/scripts", None, {}),
    ("GET", "/scripts", None, []),
    ("POST", "/calls/{call}/edit", {"note": "von außen"}, {}),
    ("POST", "/calls/{call}/score", {"final_score": 4}, {}),
    ("GET", "/truth?start=2026-03-16&end=2026-03-17", None, [{"note": "von außen"}]),
    ("POST", "/calls/{call}/soft_delete", None, {}),
    ("POST", "/calls/{call}/restore", None, {}),
    ("POST", "/calls/{call}/purge", None, {}),
    ("POST", "/calls/auto_delete_done_calls", {"agent_ids": ["{agent}"]}, {}),
    ("POST", "/calls/{call}/erase", None, {}),
    ("POST", "/calls/empty_trash", {"agent_ids": ["{agent}"]}, {}),
    ("POST", "/calls/purge_by_retention", {"moment": "2026-12-31"}, {}),
    ("GET", "/truth?start=2026-03-16&end=2026-03-17", None, [{"is_purged": True}]),
    ("PATCH", "/agents/{agent}", {"retention_days": 14}, {}),
    ("POST", "/agents", {"name": "Neu"}, {}),
    ("POST", "/agents/{agent}/calls", {"created_at": "2026-03-16T07:00:00Z"}, {}),
    ("POST", "/webhooks", {"start": "2026-03-16", "end": "2026-03-17"}, []),
    ("POST", "/spend", {"key": "{key}", "requests": 10}, {}),
    ("POST", "/reset", ONE_DAY, {"calls": 3}),
]
WRONG: list[tuple[str, str, Any, int]] = [
    ("PATCH", "/settings", {"seed": 77, "from_bound": "perhaps"}, 400),
    ("PATCH", "/settings", [1], 400),
    ("DELETE", "/keys/tp_live_unknown", None, 404),
    ("POST", "/faults", {"fault": "earthquake"}, 400),
    ("PATCH", "/agents/unknown", {"name": "x"}, 404),
    ("POST", "/calls/unknown/purge", None, 404),
    ("POST", "/calls/explode", None, 400),
    ("POST", "/calls/{call}/explode", None, 400),
    ("POST", "/calls/{call}/score", {"wrong": 1}, 400),
    ("GET", "/truth", None, 404),
    ("GET", "/nothing", None, 404),
]


@pytest.fixture
def admin(api: Any) -> Any:
    """Call the admin side: ``admin("POST", "/faults", {...})``."""
    names = {"call": api.truth()[0]["id"], "agent": api.agent, "key": api.sandbox.api_key}

    def filled(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: filled(item) for name, item in value.items()}
        if isinstance(value, list):
            return [filled(item) for item in value]
        return value.format(**names) if isinstance(value, str) else value

    def call(method: str, path: str, body: Any = None) -> httpx.Response:
        url = api.sandbox.admin_url + filled(path)
        return api.http.request(method, url, json=filled(body))  # type: ignore[no-any-return]

    return call


def test_each_route(admin: Any) -> None:
    for method, path, body, expected in TURNS:
        response = admin(method, path, body)
        assert response.status_code == 200, (method, path, response.text)
        found = response.json()
        if isinstance(expected, dict):
            assert expected.items() <= found.items(), (method, path)
        else:
            assert type(found) is list
            assert all(any(e.items() <= f.items() for f in found) for e in expected), path
            assert found or not expected


def test_what_a_change_does(api: Any, admin: Any) -> None:
    admin("PATCH", "/settings", {"requests_per_minute": 10, "minute_seconds": 86_400})
    admin("PUT", f"/keys/{OTHER}", {"permissions": ["agents:read"]})
    assert api.get("/agents", key=OTHER).headers["x-ratelimit-limit"] == "10"
    assert api.get(f"/agents/{api.agent}/calls", key=OTHER).status_code == 403
    [request, _] = admin("GET", "/requests").json()
    assert (request["kind"], request["status"]) == ("agents", 200)
    script = {"action": "erase", "after": 1, "kind": "detail", "call_id": "{call}"}
    admin("POST", "/scripts", script)
    admin("POST", "/faults", FAULT | {"after": 2})
    call_id = api.truth()[0]["id"]
    assert [api.detail(call_id).status_code for _ in range(3)] == [200, 404, 409]
    admin("POST", "/spend", {"key": "{key}", "requests": 10})
    assert api.get("/agents").status_code == 429
    admin("POST", "/reset", ONE_DAY)
    assert api.get("/agents").status_code == 200
    assert len(api.truth()) == 3


@pytest.mark.parametrize(("method", "path", "body", "status"), WRONG)
def test_wrong_requests_change_nothing(
    api: Any, admin: Any, method: str, path: str, body: Any, status: int
) -> None:
    before = api.sandbox.settings.model_dump(), api.truth()
    response = admin(method, path, body)
    assert response.status_code == status
    assert path == "/nothing" or response.json()["error"]
    assert (api.sandbox.settings.model_dump(), api.truth()) == before


def test_only_by_a_loopback_name(api: Any) -> None:
    url = f"{api.sandbox.admin_url}/settings"
    assert api.http.get(url, headers={"Host": "evil.example"}).status_code == 403
    assert api.http.get(url.replace("127.0.0.1", "localhost")).status_code == 200
