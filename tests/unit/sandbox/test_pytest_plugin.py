"""The fixture for users' own tests, in a test run of their own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.support.docs import code, read

TESTS = """
import httpx

def test_one(talkpilot_sandbox):
    assert len(talkpilot_sandbox.store) == 280
    store = talkpilot_sandbox.store
    store.erase(store.truth("2026-03-16", "2026-03-17")[0]["id"])

def test_two(talkpilot_sandbox):
    assert len(talkpilot_sandbox.store) == 280
    assert httpx.get(talkpilot_sandbox.base_url + "/health").status_code == 200
"""


def test_every_test_gets_fresh_data_and_the_documents_test_passes(tmp_path: Path) -> None:
    (tmp_path / "test_dag.py").write_text(TESTS)
    (tmp_path / "test_document.py").write_text(code(read("sandbox"), "python")[0])
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    command += ["--rootdir", str(tmp_path), str(tmp_path)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 passed" in done.stdout
