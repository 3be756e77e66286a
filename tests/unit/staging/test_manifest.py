"""Manifests: equal content has an equal digest, and only our own are read."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_talkpilot.api import CallFilters, Interval
from airflow_provider_talkpilot.staging.area import interval_folder
from airflow_provider_talkpilot.staging.errors import ManifestError
from airflow_provider_talkpilot.staging.manifest import AgentWalk, Manifest
from airflow_provider_talkpilot.staging.parts import Part
from airflow_provider_talkpilot.staging.storage import parse_uri

START, END = datetime(2026, 3, 16, tzinfo=UTC), datetime(2026, 3, 17, tzinfo=UTC)


def manifest(**fields: Any) -> Manifest:
    return Manifest(
        **{
            "kind": "calls",
            "start": START,
            "end": END,
            "agents": [AgentWalk(agent_id="a", calls=3, walked_at=END)],
            "parts": [Part(name="p", rows=3, bytes=10, sha256="0" * 64)],
            "started_at": END,
            **fields,
        }
    )


def test_saved_and_loaded(tmp_path: Path) -> None:
    folder = parse_uri(tmp_path.as_uri())
    saved = manifest()
    path = saved.save(folder)
    assert Manifest.load(path) == saved
    assert Manifest.load(path).digest == saved.digest
    assert saved.digest[:16] in path.name


def test_equal_content_equal_digest() -> None:
    assert manifest().digest == manifest().digest
    others = [
        manifest(kind="details"),
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


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"version":2}', '{"kind":"calls"}'])
def test_something_else(text: str) -> None:
    with pytest.raises(ManifestError, match="no manifest of this version"):
        Manifest.parse(text, "there")


def test_unknown_fields_are_another_version() -> None:
    text = manifest().model_dump_json().replace('"kind"', '"more":1,"kind"', 1)
    with pytest.raises(ManifestError):
        Manifest.parse(text, "there")


def folder_of(**fields: Any) -> str:
    given: dict[str, Any] = {
        "dag_id": "dag",
        "connection_id": "talkpilot_default",
        "agent_ids": None,
        "filters": CallFilters(),
        "interval": Interval(START, END),
        **fields,
    }
    return str(interval_folder("file:///staging", **given))


def test_where_a_run_stages() -> None:
    assert folder_of() == (
        "file:///staging/dag/talkpilot_default/all/20260316T000000Z_20260317T000000Z"
    )
    assert folder_of(agent_ids=["b", "a"]) == folder_of(agent_ids=["a", "b"])
    odd = Interval(START.replace(microsecond=5), END)
    folders = {
        folder_of(),
        folder_of(dag_id="other"),
        folder_of(connection_id="other"),
        folder_of(agent_ids=["a"]),
        folder_of(agent_ids=["a", "b"]),
        folder_of(filters=CallFilters(done=True)),
        folder_of(filters=CallFilters(done=False)),
        folder_of(filters=CallFilters(search="x")),
        folder_of(interval=odd),
    }
    assert len(folders) == 9


def test_no_number_and_no_strange_sign_gets_into_a_path() -> None:
    path = folder_of(filters=CallFilters(phone_number="+493023125001", search="Müller"))
    assert "3023125001" not in path
    assert "ller" not in path
    assert "/" not in folder_of(dag_id="a/../b c").split("/staging/")[1].split("/talkpilot")[0]
