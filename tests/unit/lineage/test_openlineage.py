"""The names of data are the same in every run, and name no person; tests/system has the events."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from airflow.providers.common.compat import sdk
from airflow.providers.common.compat.lineage.hook import get_hook_lineage_collector
from airflow.providers.common.compat.sdk import ObjectStoragePath
from airflow.providers.openlineage.extractors import OperatorLineage
from airflow.providers.openlineage.utils.utils import translate_airflow_asset

from airflow_provider_talkpilot.bigquery.load import LoadResult
from airflow_provider_talkpilot.bigquery.table_id import TableId
from airflow_provider_talkpilot.hooks.talkpilot import TalkPilotHook
from airflow_provider_talkpilot.lineage import openlineage
from airflow_provider_talkpilot.lineage.openlineage import Place, api_place, staging_place
from airflow_provider_talkpilot.operators.bigquery import TalkPilotLoadCallsOperator
from airflow_provider_talkpilot.sandbox.settings import fake_api_key
from airflow_provider_talkpilot.staging.manifests import DetailsManifest

BASE_URL = "https://abc.supabase.co/functions/v1/api/v1"
API = ("talkpilot://abc.supabase.co", "functions/v1/api/v1")


def test_a_task_that_uses_the_hook_reads_the_api(monkeypatch: pytest.MonkeyPatch) -> None:
    connection = {"conn_type": "talkpilot", "host": BASE_URL, "password": fake_api_key("lineage")}
    collector = sdk.HookLineageCollector()
    # Airflow itself collects only if OpenLineage is turned on.
    monkeypatch.setattr(sdk, "get_hook_lineage_collector", lambda: collector)
    monkeypatch.setenv("AIRFLOW_CONN_TALKPILOT_DEFAULT", json.dumps(connection))
    with TalkPilotHook().get_conn():
        pass
    [collected] = get_hook_lineage_collector().collected_assets.inputs
    assert collected.asset.uri == "talkpilot://abc.supabase.co/functions/v1/api/v1"
    place: Any = translate_airflow_asset(collected.asset, collected.context)
    assert (place.namespace, place.name) == API


def test_the_api() -> None:
    assert api_place(BASE_URL) == API
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


def test_details_come_from_the_api_and_the_list_and_a_load_names_its_job() -> None:
    path = ObjectStoragePath("gs://bucket/dag/conn/all/20260316T000000Z_20260317T000000Z/x.json")
    start, target = datetime(2026, 3, 16, tzinfo=UTC), TableId.parse("my-project.d.t")
    details = DetailsManifest(start=start, end=start + timedelta(days=1), started_at=start)
    sources = openlineage.staged_lineage(BASE_URL, path, details).inputs
    assert [place.name.rpartition("/")[2] for place in sources] == ["{callId}", "calls"]
    for job in (None, "talkpilot-merge-0"):
        result = LoadResult(rows=0, merge_job_id=job)
        facets = openlineage.loaded_lineage(path, details, target, result).run_facets
        assert [facet.externalQueryId for facet in facets.values()] == ([job] if job else [])


def test_a_task_that_did_nothing_has_no_lineage() -> None:
    load = TalkPilotLoadCallsOperator(task_id="load", manifest_uri="/x", table="my-project.d.t")
    assert load.get_openlineage_facets_on_complete(None) == OperatorLineage()
