"""Lists, details and their query, as the vendor documents them."""

from __future__ import annotations

import re
from typing import Any

import httpx
import pytest

LIST_FIELDS = {
    "id", "call_id", "agent_id", "customer_name", "customer_request", "phone_number",
    "call_summary", "employee", "note", "duration", "done", "general_success",
    "disconnection_reason", "is_purged", "deleted_at", "created_at", "updated_at",
}  # fmt: skip
TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}(\d{3})?Z")


def test_health_needs_no_key(api: Any) -> None:
    response = api.get("/health", key=None)
    assert response.json()["status"] == "ok"
    assert TIMESTAMP.fullmatch(response.json()["timestamp"])
    added = {"commit", "deployed_at"}
    assert response.json().keys() == {"status", "version", "timestamp"} | added
    api.sandbox.settings.era = "spring"
    assert response.json().keys() - api.get("/health", key=None).json().keys() == added
    assert not [name for name in response.headers if name.startswith("x-ratelimit")]


def test_agents(api: Any) -> None:
    body = api.get("/agents").json()
    assert body["pagination"] == {"page": 1, "limit": 20, "total": 2, "pages": 1}
    assert {agent["language"] for agent in body["data"]} == {"de", "en"}
    second = api.get("/agents", limit=1, page=2).json()
    assert second == {"data": body["data"][1:], "pagination": second["pagination"]}
    assert second["pagination"]["pages"] == 2


def test_list_rows_have_no_detail_fields(api: Any) -> None:
    body = api.calls().json()
    assert body["pagination"] == {"page": 1, "limit": 20, "total": 57, "pages": 3}
    assert len(body["data"]) == 20
    assert all(row.keys() == LIST_FIELDS for row in body["data"])
    assert all(TIMESTAMP.fullmatch(row["created_at"]) for row in body["data"])


@pytest.mark.parametrize(("from_in", "to_in"), [(False, True), (True, False)])
def test_bounds(api: Any, from_in: bool, to_in: bool) -> None:
    api.sandbox.settings.from_bound = "inclusive" if from_in else "exclusive"
    api.sandbox.settings.to_bound = "inclusive" if to_in else "exclusive"
    rows = api.rows(
        from_="2026-03-16T00:00:00.000Z", to="2026-03-17T00:00:00Z", include_deleted="true"
    )
    created = {row["created_at"] for row in rows}
    assert ("2026-03-16T00:00:00.000Z" in created) == from_in
    assert ("2026-03-17T00:00:00.000Z" in created) == to_in
    assert "2026-03-16T23:59:59.999Z" in created
    assert len(rows) == 29 + from_in + to_in


def test_filters(api: Any) -> None:
    rows = api.rows()
    for null_is_false in (False, True):
        api.sandbox.settings.false_lists_null = null_is_false
        for done in (True, False):
            values = [done, None] if null_is_false and not done else [done]
            expected = [row for row in rows if row["done"] in values]
            assert api.rows(done=str(done).lower()) == expected
    assert {row["done"] for row in rows} == {True, False, None}
    number = next(row["phone_number"] for row in rows if row["phone_number"])
    assert api.rows(phone_number=number) == [r for r in rows if r["phone_number"] == number]
    name = next(row["customer_name"] for row in rows if "ü" in (row["customer_name"] or ""))
    searched = [f"{r['customer_name']} {r['call_summary']}" for r in api.rows(search=name.upper())]
    assert searched
    assert all(name.casefold() in text.casefold() for text in searched)
    assert api.rows(search="not a name") == []
    still_open = api.rows(done="false")[0]["id"]
    api.sandbox.store.edit(still_open, done=True)
    assert still_open in {row["id"] for row in api.rows(done="true")}


@pytest.mark.parametrize(
    ("query", "fields"),
    [
        ({"page": "0"}, "page"),
        ({"from_": "yesterday"}, "from"),
        ({"done": "maybe"}, "done"),
        ({"include_deleted": "si"}, "include_deleted"),
        ({"page": "x", "limit": "500", "to": "?"}, "page limit to"),
    ],
)
def test_wrong_queries(api: Any, query: dict[str, str], fields: str) -> None:
    response = api.calls(**query)
    assert response.status_code == 400
    error = response.json()["error"]
    assert error["code"] == "VALIDATION_ERROR"
    assert {detail["field"] for detail in error["details"]} == set(fields.split())
    assert error["request_id"].startswith("req_")


def test_not_found(api: Any) -> None:
    unknown = "00000000-0000-4000-8000-000000000000"
    mine, other = api.sandbox.store.agent_ids
    call_id = api.truth(mine)[0]["id"]
    key = {"X-API-Key": api.sandbox.api_key}
    for response in (
        api.calls(unknown),
        api.detail(unknown),
        api.detail(call_id, other),
        api.get("/nothing"),
        api.http.post(f"{api.sandbox.base_url}/agents", headers=key),
    ):
        assert (response.status_code, response.json()["error"]["code"]) == (404, "NOT_FOUND")


def test_a_signed_recording_is_on_another_host_and_expires(api: Any) -> None:
    sandbox = api.sandbox
    sandbox.settings.era = "spring"
    row = next(row for row in api.truth() if not row["is_purged"])
    url = api.detail(row["id"]).json()["audio_file_url"]
    assert url.startswith(sandbox.storage_url)
    assert httpx.URL(url).port != httpx.URL(sandbox.base_url).port
    first = api.http.get(url)
    assert first.headers["content-type"] == "audio/wav"
    assert first.content == api.http.get(url).content
    assert api.http.get(url[:-1] + "x").status_code == 400
    api.http.get(url, headers={"X-API-Key": sandbox.api_key})
    leaks = [one for one in sandbox.requests if one.kind == "audio" and one.key_prefix]
    assert len(leaks) == 1, "the log shows that a key went to the storage host"
    sandbox.settings.audio_url_seconds = -1
    dead = api.detail(row["id"]).json()["audio_file_url"]
    assert api.http.get(dead).status_code == 400
    sandbox.store.purge(row["id"])
    assert api.http.get(url).status_code == 400
    assert api.detail(row["id"]).json()["audio_file_url"] is None
