"""What sandbox.md says of the two states is what the sandbox does, and its code runs."""

from __future__ import annotations

import dataclasses
import json
import re
import subprocess
import sys
from pathlib import Path

from airflow_provider_talkpilot.sandbox import Sandbox
from airflow_provider_talkpilot.sandbox.eras import ERAS

TEXT = Path(__file__).parents[2].joinpath("docs", "sandbox.md").read_text(encoding="utf-8")
[TEST, EXAMPLE] = re.findall(r"^```python\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)


def test_the_table_of_switches() -> None:
    rows = re.findall(r"^\| `(\w+)` \| `(\S+)` \| `(\S+)` \|", TEXT, re.MULTILINE)
    told = {name: (json.loads(spring), json.loads(now)) for name, spring, now in rows}
    spring, now = (dataclasses.asdict(ERAS[era]) for era in ("spring", "now"))
    assert told == {name: (spring[name], now[name]) for name in now}


def test_the_methods_are_there() -> None:
    [table] = re.findall(r"^\| method \|.*?\n\n", TEXT, re.MULTILINE | re.DOTALL)
    names = re.findall(r"`(\w+)`(?=.* \| )", table)
    assert len(names) > 9
    assert all(callable(getattr(Sandbox, name)) for name in names if name != "retention_days")


def test_the_example_runs() -> None:
    exec(compile(EXAMPLE, "sandbox.md", "exec"), {})


def test_the_test_passes(tmp_path: Path) -> None:
    (tmp_path / "test_dag.py").write_text(TEST)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    command += ["--rootdir", str(tmp_path), str(tmp_path)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
