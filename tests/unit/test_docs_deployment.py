"""docs/deployment.md: the wheel is the one that is built, and its blocks name what there is."""

from __future__ import annotations

import inspect
import json
import re
import runpy
import shlex
import subprocess
import tomllib
import zipfile
from configparser import ConfigParser
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name, parse_wheel_filename

from airflow_provider_talkpilot.hooks.talkpilot import TalkPilotHook
from airflow_provider_talkpilot.operators.bigquery import TalkPilotLoadCallsOperator
from tests.support.docs import DOCS, code, section

REPOSITORY = DOCS.parent
TEXT = (DOCS / "deployment.md").read_text(encoding="utf-8")
PLATFORMS = ("Cloud Composer", "Astro", "Amazon MWAA", "The official Helm chart")
DAG_FILES = sorted(f"dags/{path.name}" for path in REPOSITORY.glob("dags/*.py"))
[WHEEL] = set(re.findall(r"[\w.-]+\.whl", TEXT))

# Stands for every program: notes how it was called, a line each.
NOTE = """#!/bin/sh
{ printf '%s' "${0##*/}"; printf '\\t%s' "$@"; echo; } >>"$CALLS"
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(REPOSITORY)
        name = import_module("flit_core.buildapi").build_wheel(str(folder))
    return Path(folder, name)


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


def blocks(title: str, language: str) -> list[str]:
    return code(section(TEXT, title), language)


def values() -> dict[str, Any]:
    [text] = blocks("The official Helm chart", "yaml")
    return dict(import_module("yaml").safe_load(text))


def test_the_wheel_is_the_one_that_is_built(wheel: Path) -> None:
    assert wheel.name == WHEEL
    assert f"{parse_wheel_filename(WHEEL)[1]} is not on PyPI" in TEXT
    assert WHEEL.endswith("-py3-none-any.whl")


def test_the_wheel_has_the_entry_points_that_airflow_looks_for(wheel: Path) -> None:
    parser = ConfigParser()
    with zipfile.ZipFile(wheel) as archive:
        [name] = [name for name in archive.namelist() if name.endswith("entry_points.txt")]
        parser.read_string(archive.read(name).decode())
    assert {"apache_airflow_provider", "airflow.plugins"} <= set(parser.sections())


def test_the_command_that_builds_it(tmp_path: Path) -> None:
    [block] = blocks("The wheel", "sh")
    [call] = calls(block, tmp_path)
    assert call[:4] == ["python", "-m", "pip", "wheel"]
    assert f"{call[call.index('--wheel-dir') + 1]}/{WHEEL}" in section(TEXT, "The wheel")


def test_what_it_needs_is_what_it_asks_for() -> None:
    project = tomllib.loads(REPOSITORY.joinpath("pyproject.toml").read_text(encoding="utf-8"))
    asked = {
        requirement.name: str(requirement.specifier)
        for requirement in map(Requirement, project["project"]["dependencies"])
    }
    told = re.findall(r"`(apache-airflow-providers-[\w-]+)` ([\d.]+)", TEXT)
    assert len(told) == 2
    for name, version in told:
        assert asked[name] == f">={version}"
    assert f"Python {project['project']['requires-python'].removeprefix('>=')} or newer" in TEXT


def test_composer_gets_the_dag_files(tmp_path: Path) -> None:
    [block] = blocks("Cloud Composer", "sh")
    sources = [call[-1].removeprefix("--source=") for call in calls(block, tmp_path)]
    assert sources == DAG_FILES


def test_composers_requirement_is_the_wheels() -> None:
    name, version = re.findall(r"`([\w-]+)` with the version `(==[\d.]+)`", TEXT)[0]
    assert (canonicalize_name(name), version.removeprefix("==")) == (
        parse_wheel_filename(WHEEL)[0],
        str(parse_wheel_filename(WHEEL)[1]),
    )


def test_mwaa_gets_what_its_requirements_name(tmp_path: Path) -> None:
    [text], [block] = blocks("Amazon MWAA", "text"), blocks("Amazon MWAA", "sh")
    *options, line = text.splitlines()
    requirement = Requirement(line)
    name, version, *_ = parse_wheel_filename(WHEEL)
    assert canonicalize_name(requirement.name) == name
    assert str(requirement.specifier) == f"=={version}"

    zipped, *copied = calls(block, tmp_path)
    assert zipped == ["zip", "--junk-paths", "plugins.zip", f"dist/{WHEEL}", "constraints.txt"]
    files = [call[3] for call in copied]
    assert files == ["plugins.zip", "requirements.txt", *DAG_FILES]

    plugins = Path("/usr/local/airflow/plugins")
    assert f"`{plugins}`" in TEXT
    assert [option.split() for option in options] == [
        ["--constraint", str(plugins / zipped[-1])],
        ["--find-links", str(plugins)],
    ]


def test_mwaas_secret_is_where_its_backend_looks() -> None:
    [options] = re.findall(r"`(\{.+?\})`", section(TEXT, "Amazon MWAA"))
    prefix = json.loads(options)["connections_prefix"]
    assert f"`{prefix}/{TalkPilotHook.default_conn_name}`" in TEXT


def test_astro_installs_the_wheel() -> None:
    [line] = blocks("Astro", "dockerfile")
    assert shlex.split(line) == ["RUN", "pip", "install", "--no-cache-dir", f"./include/{WHEEL}"]


def test_the_image_of_the_chart() -> None:
    [text] = blocks("The official Helm chart", "dockerfile")
    (_, base), (_, wheel, folder), run, (_, dags, _) = map(shlex.split, text.splitlines())
    locked = REPOSITORY.joinpath("requirements", "airflow-3.3.txt").read_text(encoding="utf-8")
    assert f"\napache-airflow=={base.partition(':')[2]}\n" in locked
    assert wheel == f"dist/{WHEEL}"
    assert run[-1] == f"{folder}{WHEEL}"
    assert sorted(str(path.relative_to(REPOSITORY)) for path in REPOSITORY.glob(dags)) == DAG_FILES


def test_the_chart_runs_the_image_and_reads_the_secret(tmp_path: Path) -> None:
    [block] = blocks("The official Helm chart", "sh")
    build, push, create, install = calls(block, tmp_path)
    image = values()["images"]["airflow"]
    assert build[-2] == push[-1] == f"{image['repository']}:{image['tag']}"
    [secret] = values()["secret"]
    assert create[1:5] == ["create", "secret", "generic", secret["secretName"]]
    assert create[-1].startswith(f"--from-file={secret['secretKey']}=")
    assert secret["envName"] == f"AIRFLOW_CONN_{TalkPilotHook.default_conn_name.upper()}"
    assert install[0] == "helm"


def test_the_chart_sets_every_variable_that_the_dags_need() -> None:
    environment = {entry["name"]: entry["value"] for entry in values()["env"]}
    connection = json.loads(environment.pop("AIRFLOW_CONN_GOOGLE_CLOUD_DEFAULT"))
    assert connection["conn_type"] == "google_cloud_platform"
    needed = {
        name
        for path in DAG_FILES
        for name in re.findall(r"var\.value\.(talkpilot_\w+)", Path(REPOSITORY, path).read_text())
    }
    assert set(environment) == {f"AIRFLOW_VAR_{name.upper()}" for name in needed}
    assert all(f"`{name}`" in section(TEXT, "What it needs") for name in environment)


def test_the_variable_that_the_resync_writes_is_named() -> None:
    names = runpy.run_path(str(REPOSITORY / "dags" / "talkpilot_resync_calls.py"))
    assert f"Not `{names['DONE']}`" in section(TEXT, "What it needs")


def test_the_connection_that_loads_is_the_one_named_for_staging() -> None:
    parameters = inspect.signature(TalkPilotLoadCallsOperator.__init__).parameters
    assert f"gs://{parameters['gcp_conn_id'].default}@" in section(TEXT, "What it needs")


@pytest.mark.parametrize("title", PLATFORMS)
def test_what_is_said_of_a_platform_has_its_source(title: str) -> None:
    said = re.findall(r"^- .+$", section(TEXT, title), re.MULTILINE)
    assert said
    assert [line for line in said if "](https://" not in line] == []
