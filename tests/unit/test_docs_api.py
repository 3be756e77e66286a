"""docs/api.md: each name is where it says, and no public class of Airflow's side is left out."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from airflow_provider_talkpilot.get_provider_info import get_provider_info
from airflow_provider_talkpilot.hooks.talkpilot import TalkPilotHook
from tests.support.docs import DOCS, code, section, table

TEXT = (DOCS / "api.md").read_text(encoding="utf-8")
PACKAGE = "airflow_provider_talkpilot"


def named(title: str) -> dict[str, str]:
    return {row[0]: row[1] for row in table(section(TEXT, title)) if row[1].count(" ") == 0}


def test_each_name_is_where_it_says() -> None:
    names = named("In Airflow") | named("Without Airflow")
    assert len(names) > 20
    for name, place in names.items():
        assert hasattr(import_module(f"{PACKAGE}.{place.strip('`')}"), name.strip("`")), name


def test_every_class_that_airflow_is_told_of_is_listed() -> None:
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
        if isinstance(found, type) and found.__module__ == module
        if not name.startswith("_") and not name.endswith("StagingOperator")
    }
    classes |= {"TalkPilotCleanStagingOperator"}
    assert classes <= {name.strip("`") for name in named("In Airflow")}


def test_the_task_is_python_and_its_methods_are_the_hooks() -> None:
    [source] = code(TEXT, "python")
    names: dict[str, Any] = {}
    exec(compile(source, "api.md", "exec"), names)
    for method in ("get_agents", "iter_calls", "get_call", "get_conn", "get_async_conn", "close"):
        assert f"`{method}(" in TEXT
        assert callable(getattr(TalkPilotHook, method))
