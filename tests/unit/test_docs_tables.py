"""The documents' tables of names and defaults are the code's."""

from __future__ import annotations

import dataclasses
import inspect
import json
import re
from datetime import UTC, datetime
from importlib import import_module
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import BaseOperator

from airflow_provider_talkpilot.api import TalkPilotClient
from airflow_provider_talkpilot.bigquery.load import LoadResult
from airflow_provider_talkpilot.bigquery.table_id import TableId
from airflow_provider_talkpilot.bigquery.views import VIEWS
from airflow_provider_talkpilot.get_provider_info import get_provider_info
from airflow_provider_talkpilot.hooks.connection import FIELD_BEHAVIOUR, conn_fields
from airflow_provider_talkpilot.hooks.talkpilot import TalkPilotHook
from airflow_provider_talkpilot.lineage.assets import event_extra, table_asset
from airflow_provider_talkpilot.sandbox import Sandbox
from airflow_provider_talkpilot.sandbox.eras import ERAS
from airflow_provider_talkpilot.sensors.calls import TalkPilotCallsDoneSensor
from airflow_provider_talkpilot.staging.columns import COLUMNS, PERSONAL
from airflow_provider_talkpilot.staging.manifests import CallsManifest
from airflow_provider_talkpilot.staging.names import Kind
from airflow_provider_talkpilot.staging.storage import parse_uri
from scripts.reference import OPERATORS
from tests.cluster.cluster import RECOVERY
from tests.support.docs import read, section, table

PACKAGE = "airflow_provider_talkpilot"
TABLE = TableId("my-project", "talkpilot", "calls")
KINDS: tuple[Kind, ...] = ("calls", "details")
SQL_TYPES = {"INTEGER": "INT64", "FLOAT": "FLOAT64", "BOOLEAN": "BOOL"}


def names(cell: str) -> list[str]:
    return re.findall(r"\w+", cell)


def rows(document: str, title: str) -> list[tuple[str, ...]]:
    return table(section(read(document), title))


def test_each_public_name_is_where_it_says() -> None:
    places: dict[str, str] = {}
    for title in ("In Airflow", "Without Airflow"):
        places |= {row[0]: row[1] for row in rows("api", title) if " " not in row[1].strip()}
    assert len(places) > 20
    for name, place in places.items():
        assert hasattr(import_module(f"{PACKAGE}.{place.strip('` ')}"), name.strip("`")), name
    # No class that Airflow is told of is left out.
    info = get_provider_info()
    modules = [
        name
        for kind in ("hooks", "operators", "sensors", "triggers")
        for entry in info[kind]
        for name in entry["python-modules"]
    ]
    classes = {
        name
        for module in modules
        for name, found in vars(import_module(module)).items()
        if isinstance(found, type) and found.__module__ == module and not name.startswith("_")
    }
    public = {name for name in classes if not name.endswith("StagingOperator")}
    assert public | {"TalkPilotCleanStagingOperator"} <= {name.strip("`") for name in places}
    for method in ("get_agents", "iter_calls", "get_call", "get_conn", "get_async_conn", "close"):
        assert f"`{method}(" in read("api")
        assert callable(getattr(TalkPilotHook, method))


def test_the_connections_fields_and_defaults() -> None:
    fields = rows("connection", "Fields")
    assert {name: label for name, label, *_ in fields} == FIELD_BEHAVIOUR["relabeling"] | {
        f"extra.{name}": field["label"] for name, field in conn_fields().items()
    }
    defaults = TalkPilotClient.__init__.__kwdefaults__ or {}
    written = {name: default for name, *_, default in fields}
    for name in ("timeout", "connect_timeout", "tries"):
        assert float(written[f"extra.{name}"]) == defaults[name]
        assert f" {defaults[name]:g}." in conn_fields()[name]["description"]


@pytest.mark.parametrize("operator", OPERATORS, ids=lambda each: each.__name__)
def test_every_argument_of_an_operator(operator: type[Any]) -> None:
    told = {row[0]: row[-1] for row in rows("operators", operator.__name__)}
    taken = set[str]()
    for owner in operator.__mro__:
        if owner is BaseOperator or owner.__module__.startswith("airflow."):
            break
        taken |= set(inspect.signature(owner).parameters)
    assert set(told) == taken - {"self", "args", "kwargs"}
    assert {name for name, what in told.items() if "(templated)" in what} == set(
        operator.template_fields
    )


def test_every_argument_of_the_sensor() -> None:
    told = {
        name: (what, default)
        for cell, what, default in rows("sensor", "Use")
        for name in names(cell)
    }
    parameters = inspect.signature(TalkPilotCallsDoneSensor.__init__).parameters
    own = {name: p.default for name, p in parameters.items() if name not in ("self", "kwargs")}
    assert set(told) == set(own)
    assert told["done_share"][1] == str(own["done_share"])
    assert told["poke_interval"][1] == f"{own['poke_interval'] // 60} minutes"
    templated = {name for name, (what, _) in told.items() if "(templated)" in what}
    assert templated | {"talkpilot_conn_id"} == set(TalkPilotCallsDoneSensor.template_fields)


def test_the_assets_and_their_extra() -> None:
    told = rows("lineage", "Assets")
    assert {row[0]: row[1] for row in told if len(row) == 3} == {
        f"talkpilot_{kind}": table_asset(TABLE, kind)
        .uri.replace("my-project", "<project>")
        .replace("/talkpilot/calls", "/<dataset>/<table>")
        for kind in KINDS
    }
    now = datetime.now(UTC)
    manifest = CallsManifest(start=now, end=now, started_at=now)
    path = parse_uri("/staging/dag/connection/all/interval/manifest.json")
    extra = event_extra(path, manifest, TABLE, LoadResult(rows=0))
    assert [row[0] for row in told if len(row) == 2] == list(extra)


def test_what_becomes_of_each_column() -> None:
    told = rows("privacy", "What becomes of a call, and of its columns")
    columns = [name for row in told for name in names(row[0])]
    assert sorted(columns) == sorted(column.name for column in COLUMNS)
    emptied = {name for row in told if row[3] == "**empty**" for name in names(row[0])}
    personal = {column.name for column in PERSONAL}
    assert emptied == personal | {"detail_updated_at", "detail_synced_at"}


@pytest.mark.parametrize("name", VIEWS)
def test_the_views_columns(name: str) -> None:
    assert rows("warehouse", name) == [
        (column.name, SQL_TYPES.get(column.field_type, column.field_type), column.description)
        for column in VIEWS[name].columns
    ]


def test_the_sandboxs_switches_and_methods() -> None:
    text = read("sandbox")
    switches = re.findall(r"^\| `(\w+)` \| `(\S+)` \| `(\S+)` \|", text, re.MULTILINE)
    told = {name: (json.loads(spring), json.loads(now)) for name, spring, now in switches}
    spring, now = (dataclasses.asdict(ERAS[era]) for era in ("spring", "now"))
    assert told == {name: (spring[name], now[name]) for name in now}
    [methods] = re.findall(r"^\| method \|.*?\n\n", text, re.MULTILINE | re.DOTALL)
    found = set(re.findall(r"`(\w+)`(?=.* \| )", methods)) - {"retention_days"}
    assert len(found) > 9
    assert all(callable(getattr(Sandbox, name)) for name in found)


def test_celerys_settings_are_those_of_the_cluster_that_is_tested() -> None:
    told = re.findall(r"^\| `\[(\w+)\] (\w+)` \| \d+ \| (\d+) \|", read("deployment"), re.MULTILINE)
    assert {f"AIRFLOW__{s.upper()}__{name.upper()}": value for s, name, value in told} == RECOVERY
