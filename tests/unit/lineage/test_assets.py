"""Asset events tell what is in the table, through whatever outlet a load task has."""

from __future__ import annotations

from datetime import UTC, datetime
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import Asset, AssetAlias

from airflow_provider_talkpilot.bigquery.load import LoadResult
from airflow_provider_talkpilot.bigquery.table_id import TableId
from airflow_provider_talkpilot.lineage import assets
from airflow_provider_talkpilot.lineage.assets import announce, table_asset
from airflow_provider_talkpilot.staging.manifests import (
    AgentWalk,
    DetailsManifest,
    WalksManifest,
)
from airflow_provider_talkpilot.staging.names import Kind
from airflow_provider_talkpilot.staging.parts import Part
from airflow_provider_talkpilot.staging.storage import parse_uri

TABLE = TableId("my-project", "talkpilot", "calls")
PATH = parse_uri("/srv/dag/talkpilot_default/all/20260316T000000Z_20260317T000000Z/manifest.json")
ALIAS = AssetAlias("talkpilot_calls")


@pytest.fixture
def events(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Airflow's own, as a task's context has them."""
    monkeypatch.setattr(assets, "is_known", lambda _: True)
    is_new = find_spec("airflow.sdk") is not None
    module = "airflow.sdk.execution_time.context" if is_new else "airflow.utils.context"
    return import_module(module).OutletEventAccessors()


def manifest(kind: Kind = "calls", **fields: Any) -> WalksManifest | DetailsManifest:
    now = datetime(2026, 3, 17, 1, tzinfo=UTC)
    walks = [AgentWalk(agent_id=name, calls=3, began_at=now, walked_at=now) for name in "ab"]
    agents = {"agents": walks} if kind == "calls" else {"agent_count": 2}
    return (WalksManifest if kind == "calls" else DetailsManifest)(
        start=datetime(2026, 3, 16, tzinfo=UTC),
        end=datetime(2026, 3, 17, tzinfo=UTC),
        parts=[Part(name="x", rows=6, bytes=1, sha256="")],
        requests={"agents": 1, "calls": 2},
        started_at=now,
        **(agents | fields),
    )


def through_alias(events: Any, alias: AssetAlias = ALIAS) -> list[tuple[str, dict[str, Any]]]:
    """Of each event through the alias the asset's URI, and the extra."""
    accessor = events[alias]
    if hasattr(accessor, "asset_alias_events"):
        return [(each.dest_asset_key.uri, each.extra) for each in accessor.asset_alias_events]
    found = accessor.dataset_alias_events
    return [(each["dest_dataset_uri"], each["extra"]) for each in found]


def test_calls_and_details_are_two_assets() -> None:
    assert table_asset(TABLE, "calls").uri == "bigquery://my-project/talkpilot/calls"
    assert table_asset(TABLE, "details").uri == "bigquery://my-project/talkpilot/calls?with=details"


def test_an_alias_becomes_the_asset(events: Any) -> None:
    result = LoadResult(rows=6, changed=5, erased=1)
    announce({"outlet_events": events}, [ALIAS], PATH, manifest(), TABLE, result)
    extra = {
        "kind": "calls",
        "table": "my-project.talkpilot.calls",
        "start": "2026-03-16T00:00:00Z",
        "end": "2026-03-17T00:00:00Z",
        "connection_id": "talkpilot_default",
        "agents": 2,
        "rows": 6,
        "changed": 5,
        "erased": 1,
        "requests": 3,
    }
    assert through_alias(events) == [("bigquery://my-project/talkpilot/calls", extra)]
    frozenset(extra.items())  # Airflow 2 makes one


def test_an_asset_of_the_users_gets_the_extra(events: Any) -> None:
    mine = Asset("mine")
    announce({"outlet_events": events}, [mine, object()], PATH, manifest(), TABLE, LoadResult(6))
    assert events[mine].extra["rows"] == 6


def test_a_selection_is_no_whole_interval(events: Any) -> None:
    staged = manifest(selection=["done"])
    announce({"outlet_events": events}, [ALIAS], PATH, staged, TABLE, LoadResult(rows=6))
    assert through_alias(events) == []
