"""The fixture for users' own tests, in a test run of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

TESTS = """
import httpx

def test_one(talkpilot_sandbox):
    assert len(talkpilot_sandbox.store) == 280
    talkpilot_sandbox.erase(talkpilot_sandbox.truth("2026-03-16", "2026-03-17")[0]["id"])

def test_two(talkpilot_sandbox):
    assert len(talkpilot_sandbox.store) == 280
    assert httpx.get(talkpilot_sandbox.base_url + "/health").status_code == 200
"""


def test_every_test_gets_fresh_data(tmp_path: Path) -> None:
    (tmp_path / "test_dag.py").write_text(TESTS)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    command += ["-p", "airflow_provider_talkpilot.sandbox.pytest_plugin"]
    command += ["--rootdir", str(tmp_path), str(tmp_path)]
    # As it is on a machine with nothing else: no other plugins.
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    done = subprocess.run(
        command, check=False, capture_output=True, text=True, timeout=120, env=environment
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed" in done.stdout
