"""Faults: what each does, on which requests, how often."""

from __future__ import annotations

import time
from typing import Any

import httpx
import pytest
from pydantic import ValidationError

from airflow_provider_talkpilot.sandbox import Sandbox, SandboxSettings
from airflow_provider_talkpilot.sandbox.faults import Faults


def test_status_with_envelope(api: Any) -> None:
    api.sandbox.faults.add("status", status=503)
    response = api.get("/agents")
    assert response.status_code == 503
    assert response.json()["error"]["code"] == "INTERNAL_ERROR"
    assert response.json()["error"]["request_id"].startswith("req_")
    assert "x-ratelimit-limit" in response.headers
    assert api.get("/agents").status_code == 200


@pytest.mark.parametrize("body", ["html", "empty"])
def test_status_from_the_edge(api: Any, body: str) -> None:
    api.sandbox.faults.add("status", status=502, body=body)
    response = api.get("/agents")
    assert response.status_code == 502
    assert ("<html>" in response.text) == (body == "html")
    assert bool(response.content) == (body == "html")
    assert "x-ratelimit-limit" not in response.headers


@pytest.mark.parametrize(
    ("fault", "body"),
    [
        (
            {"status": 546, "body": "code"},
            {
                "code": "WORKER_LIMIT",
                "message": "Function failed due to not having enough compute resources "
                "(please check logs)",
            },
        ),
        ({"status": 540, "body": "message"}, {"message": "Project paused"}),
        ({"status": 401, "body": "msg", "message": "No header"}, {"msg": "No header"}),
        ({"status": 500, "body": "error", "message": "gone"}, {"error": "gone"}),
    ],
)
def test_json_of_the_edge(api: Any, fault: dict[str, Any], body: dict[str, Any]) -> None:
    api.sandbox.settings.requests_per_minute = 60
    api.sandbox.faults.add("status", **fault)
    response = api.get("/agents")
    assert response.status_code == fault.get("status", 500)
    assert response.json() == body
    assert "x-ratelimit-limit" not in response.headers
    after = api.get("/agents")
    assert (after.status_code, after.headers["x-ratelimit-remaining"]) == (200, "59")


def test_kind_times_and_after(api: Any) -> None:
    api.sandbox.faults.add("status", kind="detail", times=2, after=1, status=503)
    call_id = api.truth()[0]["id"]
    statuses = []
    for _ in range(4):
        assert api.calls().status_code == 200
        statuses.append(api.detail(call_id).status_code)
    assert statuses == [200, 503, 503, 200]
    assert api.sandbox.faults.waiting == []
    assert api.sandbox.counters["faults"] == 2
    assert [one.fault for one in api.sandbox.requests].count("status") == 2


def test_connection_cut_in_mid_body(api: Any) -> None:
    api.sandbox.faults.add("cut", kind="agents")
    with pytest.raises(httpx.RemoteProtocolError, match=r"incomplete|without sending complete"):
        api.get("/agents")
    assert api.get("/agents").status_code == 200


def test_rows_with_wrong_shape(api: Any) -> None:
    api.sandbox.faults.add("no_pagination")
    api.sandbox.faults.add("no_id", kind="calls")
    api.sandbox.faults.add("wrong_type", kind="calls")
    api.sandbox.faults.add("no_id", kind="detail")
    api.sandbox.faults.add("wrong_type", kind="detail")
    call_id = api.truth()[0]["id"]
    assert "pagination" not in api.calls().json()
    rows = api.calls().json()["data"]
    assert ["id" in row for row in rows] == [False] + [True] * 19
    rows = api.calls().json()["data"]
    assert [isinstance(row["duration"], str) for row in rows] == [True] + [False] * 19
    assert "id" not in api.detail(call_id).json()
    assert isinstance(api.detail(call_id).json()["duration"], str)
    assert api.sandbox.faults.waiting == []
    assert isinstance(api.calls().json()["data"][0]["duration"], int), "kept rows are not spoilt"


def test_slow_response(api: Any) -> None:
    with Sandbox() as other:  # of its own: the response comes late, when another test runs
        other.faults.add("slow", seconds=30)
        with pytest.raises(httpx.ReadTimeout):
            api.http.get(f"{other.base_url}/health", timeout=0.2)
    api.sandbox.settings.latency_seconds = 0.2
    start = time.monotonic()
    assert api.get("/health").status_code == 200
    assert time.monotonic() - start >= 0.19  # event loops wake up a moment early


def test_random_faults_repeat_with_the_seed_and_end(api: Any) -> None:
    def walk() -> list[str | None]:
        faults = Faults(SandboxSettings(random_fault_rate=0.5, random_fault_streak=3))
        taken = [faults.take("calls") for _ in range(200)]
        return [f"{fault.fault}{fault.status}" if fault else None for fault in taken]

    first = walk()
    assert first == walk()
    assert len(set(first)) == 7
    runs = "".join("x" if one else " " for one in first).split()
    assert max(map(len, runs)) == 3
    api.sandbox.settings.random_fault_rate = 1.0
    assert api.sandbox.faults.take("other") is None


def test_wrong_faults_are_refused(api: Any) -> None:
    with pytest.raises(ValidationError):
        api.sandbox.faults.add("earthquake")
    with pytest.raises(ValidationError):
        api.sandbox.faults.add("status", times=0)
    api.sandbox.faults.add("conflict")
    api.sandbox.faults.clear()
    assert api.get("/agents").status_code == 200
