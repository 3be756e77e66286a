"""docs/deployment.md: the wheel is the one that is built, and its blocks fit together."""

from __future__ import annotations

import json
import re
import runpy
import zipfile
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from tests.support.docs import DOCS, code, read, section

REPOSITORY = DOCS.parent
TEXT = read("deployment")
CHART = "The official Helm chart"
DAG_FILES = sorted(f"dags/{path.name}" for path in REPOSITORY.glob("dags/*.py"))
[WHEEL] = set(re.findall(r"[\w.-]+\.whl", TEXT))


def block(title: str, language: str) -> str:
    [found] = code(section(TEXT, title), language)
    return found


def values() -> dict[str, Any]:
    return dict(import_module("yaml").safe_load(block(CHART, "yaml")))


def test_the_wheel_is_the_one_that_is_built_and_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A checkout finds its files in any case; an installed package has those that were packed."""
    monkeypatch.chdir(REPOSITORY)
    assert import_module("flit_core.buildapi").build_wheel(str(tmp_path)) == WHEEL
    with zipfile.ZipFile(tmp_path / WHEEL) as packed:
        names = set(packed.namelist())
        [entry_points] = [name for name in names if name.endswith("entry_points.txt")]
        told = packed.read(entry_points).decode()
    assert "[apache_airflow_provider]" in told
    assert "[airflow.plugins]" in told
    package = REPOSITORY / "airflow_provider_talkpilot"
    needed = {
        path.relative_to(REPOSITORY).as_posix()
        for path in package.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert {path for path in needed if path.endswith((".sql", ".js", ".html", "py.typed"))}
    assert needed <= names


def test_the_variables_are_those_that_the_dags_read_and_write() -> None:
    environment = {entry["name"]: entry["value"] for entry in values()["env"]}
    connection = json.loads(environment.pop("AIRFLOW_CONN_GOOGLE_CLOUD_DEFAULT"))
    assert connection["conn_type"] == "google_cloud_platform"
    needed = {
        name
        for path in DAG_FILES
        for name in re.findall(r"var\.value\.(talkpilot_\w+)", Path(REPOSITORY, path).read_text())
    }
    assert set(environment) == {f"AIRFLOW_VAR_{name.upper()}" for name in needed}
    needs = section(TEXT, "What it needs")
    assert all(f"`{name}`" in needs for name in environment)
    names = runpy.run_path(str(REPOSITORY / "dags" / "talkpilot_resync_calls.py"))
    assert f"Not `{names['DONE']}`" in needs
