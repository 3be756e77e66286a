"""Data has the same name in every run, and the name tells of nobody."""

from __future__ import annotations

import pytest
from airflow.providers.common.compat.sdk import ObjectStoragePath

from airflow_provider_talkpilot.api import CallFilters, Interval
from airflow_provider_talkpilot.lineage.movements import Place, api_place, api_uri, staging_place
from airflow_provider_talkpilot.staging.names import connection_of, interval_folder

BASE_URL = "https://abc.supabase.co/functions/v1/api/v1"


def test_the_api() -> None:
    whole = Place("talkpilot://abc.supabase.co", "functions/v1/api/v1")
    assert api_place(BASE_URL) == whole
    assert api_place(api_uri(BASE_URL)) == whole
    assert api_place(BASE_URL, "agents").name == "functions/v1/api/v1/agents"
    assert api_place("http://127.0.0.1:8000") == Place("talkpilot://127.0.0.1:8000", "/")


@pytest.mark.parametrize(
    ("root", "namespace", "name"),
    [
        ("gs://bucket/talkpilot", "gs://bucket", "talkpilot/dag/conn/all/calls"),
        ("gs://google@bucket", "gs://bucket", "dag/conn/all/calls"),
        ("file:///srv/staged", "file", "/srv/staged/dag/conn/all/calls"),
        ("/srv/staged", "file", "/srv/staged/dag/conn/all/calls"),
    ],
)
def test_staging(root: str, namespace: str, name: str) -> None:
    folder = ObjectStoragePath(root) / "dag" / "conn" / "all" / "20260316T000000Z_20260317T000000Z"
    assert staging_place(folder, "calls") == Place(namespace, name)


def test_a_selection_by_number() -> None:
    """A number is short: who has its digest can find it."""
    folder = interval_folder(
        ObjectStoragePath("/srv"),
        dag_id="dag",
        connection_id="conn",
        agent_ids=None,
        filters=CallFilters(phone_number="+4915112345678"),
        interval=Interval.parse("2026-03-16", "2026-03-17"),
        columns={"note": "drop"},
    )
    name = staging_place(folder, "details").name
    assert name.startswith("/srv/dag/conn/all-selection-columns-")
    assert name.endswith("/details")
    assert connection_of(folder) == "conn"
