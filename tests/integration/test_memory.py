"""Memory is flat in the number of calls."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_talkpilot.operators.calls import TalkPilotExtractCallsOperator
from airflow_provider_talkpilot.operators.clean import TalkPilotCleanStagingOperator
from airflow_provider_talkpilot.sandbox.emulators.processes import GuardedProcess
from tests.integration.chain import local
from tests.support.jobs import Jobs

pytestmark = pytest.mark.slow

CALLS_A_DAY, DAYS = 2_000, 50
SPARE_KIB = 30 * 1024


@pytest.fixture
def big_sandbox(tmp_path: Path) -> Iterator[dict[str, str]]:
    """The environment that points at a sandbox with 100,000 calls, in a process of its own."""
    ready = tmp_path / "environment"
    command = [sys.executable, "-m", "airflow_provider_talkpilot.sandbox", "--no-bigquery"]
    command += ["--port", "0", "--start", "2026-01-01", "--env-file", str(ready)]
    command += ["--days", str(DAYS), "--calls-per-day", str(CALLS_A_DAY)]
    command += ["--requests-per-minute", "none", "--requests-per-hour", "none"]
    process = GuardedProcess(command)
    try:
        text = process.wait_for(lambda: ready.read_text() if ready.exists() else None, 60)
        yield dict(line.removeprefix("export ").split("=", 1) for line in text.splitlines())
    finally:
        process.stop()


def test_a_hundred_thousand_calls(
    jobs: Jobs, big_sandbox: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in big_sandbox.items():
        monkeypatch.setenv(name, value.strip("'"))
    staging: dict[str, Any] = {"staging_uri": (tmp_path / "staging").as_uri()}
    peaks, manifests = [], []
    for calls, end in ((CALLS_A_DAY, "2026-01-02"), (CALLS_A_DAY * DAYS, "2026-02-20")):
        ended = jobs.run(TalkPilotExtractCallsOperator, interval=("2026-01-01", end), **staging)
        peaks.append(ended.peak_kib)
        manifests.append(ended.returned)
        manifest = json.loads(local(ended.returned).read_text())
        assert sum(part["rows"] for part in manifest["parts"]) == calls

    # The walk of all days is compared with the staged rows of one day, and the reverse.
    for uri in reversed(manifests):
        cleaning = {**staging, "manifest_uris": [uri], "keep_staged": True}
        ended = jobs.run(TalkPilotCleanStagingOperator, **cleaning)
        peaks.append(ended.peak_kib)
        assert ended.returned == {"loaded": 0, "purged": 0, "expired": 0}
    assert max(peaks) - peaks[0] < SPARE_KIB
