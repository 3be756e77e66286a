"""docs/deployment.md: the wheel is the one that is built, and its blocks fit together."""

from __future__ import annotations

import re
import zipfile
from importlib import import_module
from pathlib import Path

import pytest

from tests.support.docs import DOCS, read

REPOSITORY = DOCS.parent
TEXT = read("deployment")
[WHEEL] = set(re.findall(r"[\w.-]+\.whl", TEXT))


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
