"""docs/deployment.md: the wheel is the one that is built, and its blocks fit together."""

from __future__ import annotations

import json
import re
import runpy
import shlex
import subprocess
import tomllib
import zipfile
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

from airflow_provider_talkpilot.hooks.talkpilot import TalkPilotHook
from tests.support.docs import DOCS, code, read, section

REPOSITORY = DOCS.parent
TEXT = read("deployment")
CHART = "The official Helm chart"
DAG_FILES = sorted(f"dags/{path.name}" for path in REPOSITORY.glob("dags/*.py"))
[WHEEL] = set(re.findall(r"[\w.-]+\.whl", TEXT))
PROJECT = tomllib.loads(REPOSITORY.joinpath("pyproject.toml").read_text(encoding="utf-8"))

# Stands for every program: notes how it was called, a line each.
NOTE = """#!/bin/sh
{ printf '%s' "${0##*/}"; printf '\\t%s' "$@"; echo; } >>"$CALLS"
"""


def calls(block: str, folder: Path) -> list[list[str]]:
    """What a block of shell runs in a checkout."""
    programs, noted = folder / "bin", folder / "calls"
    programs.mkdir()
    for name in ("aws", "docker", "gcloud", "helm", "kubectl", "python", "zip"):
        (programs / name).write_text(NOTE, encoding="utf-8")
        (programs / name).chmod(0o755)
    environment = {"PATH": str(programs), "CALLS": str(noted)}
    subprocess.run(["/bin/sh", "-euc", block], cwd=REPOSITORY, env=environment, check=True)
    return [line.split("\t") for line in noted.read_text(encoding="utf-8").splitlines()]


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


def test_the_versions_are_the_projects() -> None:
    needed = {
        requirement.name: str(requirement.specifier)
        for requirement in map(Requirement, PROJECT["project"]["dependencies"])
    }
    told = re.findall(r"`(apache-airflow-providers-[\w-]+)` ([\d.]+)", TEXT)
    assert len(told) == 2
    for name, version in told:
        assert needed[name] == f">={version}"
    assert f"Python {PROJECT['project']['requires-python'].removeprefix('>=')} or newer" in TEXT
    version = WHEEL.split("-")[1]
    assert f"`airflow-provider-talkpilot` with the version `=={version}`" in TEXT
    [base] = re.findall(r"^FROM apache/airflow:(.+)$", block(CHART, "dockerfile"), re.MULTILINE)
    locked = REPOSITORY.joinpath("requirements", "airflow-3.3.txt").read_text(encoding="utf-8")
    assert f"\napache-airflow=={base}\n" in locked


def test_composer_and_mwaa_get_the_dag_files_and_the_wheel(tmp_path: Path) -> None:
    for name in ("composer", "mwaa"):
        (tmp_path / name).mkdir()
    composer = calls(block("Cloud Composer", "sh"), tmp_path / "composer")
    assert [call[-1].removeprefix("--source=") for call in composer] == DAG_FILES
    zipped, *copied = calls(block("Amazon MWAA", "sh"), tmp_path / "mwaa")
    assert zipped == ["zip", "--junk-paths", "plugins.zip", f"dist/{WHEEL}", "constraints.txt"]
    assert [call[3] for call in copied] == ["plugins.zip", "requirements.txt", *DAG_FILES]
    assert block("Amazon MWAA", "text").splitlines() == [
        "--constraint /usr/local/airflow/plugins/constraints.txt",
        "--find-links /usr/local/airflow/plugins",
        f"airflow-provider-talkpilot=={WHEEL.split('-')[1]}",
    ]


def test_the_chart_runs_the_image_and_reads_the_secret(tmp_path: Path) -> None:
    build, push, create, _ = calls(block(CHART, "sh"), tmp_path)
    image = values()["images"]["airflow"]
    assert build[-2] == push[-1] == f"{image['repository']}:{image['tag']}"
    [secret] = values()["secret"]
    assert create[1:5] == ["create", "secret", "generic", secret["secretName"]]
    assert create[-1].startswith(f"--from-file={secret['secretKey']}=")
    assert secret["envName"] == f"AIRFLOW_CONN_{TalkPilotHook.default_conn_name.upper()}"
    _, (_, wheel, folder), run, (_, dags, _) = map(
        shlex.split, block(CHART, "dockerfile").splitlines()
    )
    assert (wheel, run[-1]) == (f"dist/{WHEEL}", f"{folder}{WHEEL}")
    assert sorted(str(path.relative_to(REPOSITORY)) for path in REPOSITORY.glob(dags)) == DAG_FILES


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
