"""Manifests: each content has its own name, and only our own files are read."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_talkpilot.staging import storage
from airflow_provider_talkpilot.staging.errors import ManifestError, StagingError
from airflow_provider_talkpilot.staging.manifests import ListManifest, WalkedAgent, load_manifest
from airflow_provider_talkpilot.staging.parts import Part
from airflow_provider_talkpilot.staging.storage import parse_uri

START, END = datetime(2026, 3, 16, tzinfo=UTC), datetime(2026, 3, 17, tzinfo=UTC)
PART = Part(name="p", rows=3, bytes=10, sha256="0" * 64)


def manifest(**fields: Any) -> ListManifest:
    walk = WalkedAgent(agent_id="a", calls=3, began_at=START, ended_at=END)
    usual = {"start": START, "end": END, "agents": [walk], "parts": [PART], "started_at": END}
    return ListManifest.model_validate(usual | fields)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", '{"version":2}', '{"kind":"calls"}', "unknown field"]
)
def test_another_file_is_no_manifest(tmp_path: Path, text: str) -> None:
    if text == "unknown field":  # as another version could write
        text = manifest().model_dump_json().replace('"kind"', '"more":1,"kind"', 1)
    path = parse_uri(tmp_path.as_uri()) / "calls-manifest-0123456789abcdef.json"
    path.write_text(text)
    with pytest.raises(ManifestError, match="no manifest of this version"):
        load_manifest(path)


def test_a_manifest_that_could_not_be_checked_does_not_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its parts would count as used, and outlive the load of the next try's manifest."""

    def fail(_: object) -> None:
        raise StagingError("the storage is down")

    monkeypatch.setattr(storage, "size", fail)
    with pytest.raises(StagingError, match="is down"):
        manifest().save(parse_uri(tmp_path.as_uri()))
    assert not list(tmp_path.iterdir())
