"""Manifests: equal content has an equal digest, and only our own are read."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_talkpilot.staging.errors import ManifestError
from airflow_provider_talkpilot.staging.manifests import (
    AgentWalk,
    WalksManifest,
    load_manifest,
)
from airflow_provider_talkpilot.staging.parts import Part
from airflow_provider_talkpilot.staging.storage import parse_uri

START, END = datetime(2026, 3, 16, tzinfo=UTC), datetime(2026, 3, 17, tzinfo=UTC)


def manifest(**fields: Any) -> WalksManifest:
    return WalksManifest(
        **{
            "start": START,
            "end": END,
            "agents": [AgentWalk(agent_id="a", calls=3, began_at=START, walked_at=END)],
            "parts": [Part(name="p", rows=3, bytes=10, sha256="0" * 64)],
            "started_at": END,
            **fields,
        }
    )


def test_saved_and_loaded(tmp_path: Path) -> None:
    folder = parse_uri(tmp_path.as_uri())
    saved = manifest()
    path = saved.save(folder)
    assert load_manifest(path) == saved
    assert load_manifest(path).digest == saved.digest
    assert saved.digest[:16] in path.name


def test_equal_content_equal_digest() -> None:
    assert manifest().digest == manifest().digest
    others = [
        manifest(end=datetime(2026, 3, 18, tzinfo=UTC)),
        manifest(parts=[]),
        manifest(started_at=START),
        manifest(selection=["done"]),
    ]
    digests = {each.digest for each in [manifest(), *others]}
    assert len(digests) == 1 + len(others)


def test_counts() -> None:
    part = Part(name="p", rows=3, bytes=10, sha256="0" * 64)
    assert manifest(parts=[part, part], rejects=[part]).rows == 6
    assert manifest(parts=[part, part], rejects=[part]).rejected == 3


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", '{"version":2}', '{"kind":"calls"}', "more"],
)
def test_something_else(tmp_path: Path, text: str) -> None:
    if text == "more":  # a field that is unknown: it is of another version
        text = manifest().model_dump_json().replace('"kind"', '"more":1,"kind"', 1)
    path = parse_uri(tmp_path.as_uri()) / "calls-manifest-0123456789abcdef.json"
    path.write_text(text)
    with pytest.raises(ManifestError, match="no manifest of this version"):
        load_manifest(path)
