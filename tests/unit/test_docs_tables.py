"""The documents' tables of names and defaults are the code's."""

from __future__ import annotations

import re
from importlib import import_module

from airflow_provider_talkpilot.api import TalkPilotClient
from airflow_provider_talkpilot.get_provider_info import get_provider_info
from airflow_provider_talkpilot.hooks.connection import FIELD_BEHAVIOUR, conn_fields
from airflow_provider_talkpilot.hooks.talkpilot import TalkPilotHook
from airflow_provider_talkpilot.staging.rows.columns import CALLS
from tests.support.docs import read, section, table

PACKAGE = "airflow_provider_talkpilot"


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


def test_what_becomes_of_each_column() -> None:
    told = rows("privacy", "What becomes of a call, and of its columns")
    columns = [name for row in told for name in names(row[0])]
    assert sorted(columns) == sorted(column.name for column in CALLS)
    emptied = {name for row in told if row[3] == "**empty**" for name in names(row[0])}
    personal = {column.name for column in CALLS if column.is_personal}
    assert emptied == personal | {"detail_updated_at", "detail_synced_at"}
