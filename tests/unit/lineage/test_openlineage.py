"""What OpenLineage's provider asks for, where no run shows it: tests/system has the events."""

from __future__ import annotations

import json
from typing import Any

import pytest
from airflow.providers.common.compat import sdk
from airflow.providers.common.compat.lineage.hook import get_hook_lineage_collector
from airflow.providers.openlineage.extractors import OperatorLineage
from airflow.providers.openlineage.utils.utils import translate_airflow_asset

from airflow_provider_talkpilot.hooks.talkpilot import TalkPilotHook
from airflow_provider_talkpilot.operators.bigquery import TalkPilotLoadCallsOperator
from airflow_provider_talkpilot.sandbox.settings import fake_api_key


def test_a_task_that_did_nothing_says_nothing() -> None:
    load = TalkPilotLoadCallsOperator(task_id="load", manifest_uri="x", table="p.d.t")
    assert load.get_openlineage_facets_on_complete(None) == OperatorLineage()


def test_whoever_uses_the_hook_reads_the_api(monkeypatch: pytest.MonkeyPatch) -> None:
    connection = {
        "conn_type": "talkpilot",
        "host": "https://abc.supabase.co/functions/v1/api/v1",
        "password": fake_api_key("lineage"),
    }
    collector = sdk.HookLineageCollector()
    # Airflow collects only where somebody reads it, such as OpenLineage that is turned on.
    monkeypatch.setattr(sdk, "get_hook_lineage_collector", lambda: collector)
    monkeypatch.setenv("AIRFLOW_CONN_TALKPILOT_DEFAULT", json.dumps(connection))
    with TalkPilotHook().get_conn():
        pass
    [noted] = get_hook_lineage_collector().collected_assets.inputs
    assert noted.asset.uri == "talkpilot://abc.supabase.co/functions/v1/api/v1"
    place: Any = translate_airflow_asset(noted.asset, noted.context)
    assert (place.namespace, place.name) == ("talkpilot://abc.supabase.co", "functions/v1/api/v1")
