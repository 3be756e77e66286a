"""A load announces what is in the table, through each outlet of its task."""

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
from airflow_provider_talkpilot.lineage.assets import announce
from airflow_provider_talkpilot.staging.manifests import DetailsManifest, ListManifest, WalkedAgent
from airflow_provider_talkpilot.staging.names import Kind
from airflow_provider_talkpilot.staging.parts import Part
from airflow_provider_talkpilot.staging.storage import parse_uri

TABLE = TableId("my-project", "talkpilot", "calls")
PATH = parse_uri("/srv/dag/talkpilot_default/all/20260316T000000Z_20260317T000000Z/manifest.json")
ALIAS = AssetAlias("talkpilot_calls")


@pytest.fixture
def events(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return Airflow's own outlet events, as a task's context has them."""
    monkeypatch.setattr(assets, "is_known", lambda _: True)
    is_new = find_spec("airflow.sdk") is not None
    module = "airflow.sdk.execution_time.context" if is_new else "airflow.utils.context"
    return import_module(module).OutletEventAccessors()


def manifest(kind: Kind = "calls", **fields: Any) -> ListManifest | DetailsManifest:
    now = datetime(2026, 3, 17, 1, tzinfo=UTC)
    walks = [WalkedAgent(agent_id=name, calls=3, began_at=now, ended_at=now) for name in "ab"]
    agents = {"agents": walks} if kind == "calls" else {"agent_count": 2}
    return (ListManifest if kind == "calls" else DetailsManifest)(
        start=datetime(2026, 3, 16, tzinfo=UTC),
        end=datetime(2026, 3, 17, tzinfo=UTC),
        parts=[Part(name="x", rows=6, bytes=1, sha256="")],
        requests={"agents": 1, "calls": 2},
        started_at=now,
        **(agents | fields),
    )


def through_alias(events: Any) -> list[tuple[str, dict[str, Any]]]:
    """Return the asset's URI and the extra of each event through the alias."""
    accessor = events[ALIAS]
    if hasattr(accessor, "asset_alias_events"):
        return [(event.dest_asset_key.uri, event.extra) for event in accessor.asset_alias_events]
    events = accessor.dataset_alias_events
    return [(event["dest_dataset_uri"], event["extra"]) for event in events]


@pytest.mark.parametrize(("kind", "mark"), [("calls", ""), ("details", "?with=details")])
def test_an_alias_becomes_the_asset(events: Any, kind: Kind, mark: str) -> None:
    result = LoadResult(rows=6, changed=5, erased=1)
    announce({"outlet_events": events}, [ALIAS], PATH, manifest(kind), TABLE, result)
    extra = {
        "kind": kind,
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
    assert through_alias(events) == [(f"bigquery://my-project/talkpilot/calls{mark}", extra)]
    frozenset(extra.items())  # Airflow 2 makes one


def test_an_asset_of_the_user_gets_the_extra(events: Any) -> None:
    mine = Asset("mine")
    announce({"outlet_events": events}, [mine, object()], PATH, manifest(), TABLE, LoadResult(6))
    assert events[mine].extra["rows"] == 6


def test_a_selection_is_not_announced(events: Any) -> None:
    staged = manifest(selection=["done"])
    announce({"outlet_events": events}, [ALIAS], PATH, staged, TABLE, LoadResult(rows=6))
    assert through_alias(events) == []
