"""What differs between spring and now, each point by the era and by itself."""

from __future__ import annotations

import dataclasses
from typing import Any

from airflow_provider_talkpilot.sandbox import SandboxSettings
from airflow_provider_talkpilot.sandbox.eras import ERAS, Switches


def test_every_switch_differs_and_can_be_set_by_itself() -> None:
    for field in dataclasses.fields(Switches):
        spring, now = (getattr(ERAS[era], field.name) for era in ("spring", "now"))
        assert spring != now
        settings = SandboxSettings(era="spring", **{field.name: now})
        changed = dataclasses.replace(ERAS["spring"], **{field.name: now})
        assert settings.switches == changed
        settings.patch(era="now")
        assert settings.switches == ERAS["now"]
        settings.patch(era="spring", **{field.name: None})
        assert settings.switches == ERAS["spring"]


def test_both_addresses_serve(api: Any) -> None:
    root, key = f"http://127.0.0.1:{api.sandbox.port}", {"X-API-Key": api.sandbox.api_key}
    bodies = [
        api.http.get(f"{root}{path}/agents", headers=key).json()
        for path in ("/functions/v1/api/v1", "/v1")
    ]
    assert bodies[0] == bodies[1]
    assert len(bodies[0]["data"]) == 2


def test_stored_recordings_are_alive_or_dead(api: Any) -> None:
    rows = [row for row in api.truth() if not row["is_purged"]]
    urls = [api.detail(row["id"]).json()["audio_file_url"] for row in rows]
    assert urls == [api.detail(row["id"]).json()["audio_file_url"] for row in rows]
    assert all(url.startswith(api.sandbox.storage_url) and "?" not in url for url in urls)
    for every, statuses in ((5, {200, 400}), (0, {200}), (1, {400})):
        api.sandbox.settings.dead_recording_every = every
        assert {api.http.get(url).status_code for url in urls} == statuses
