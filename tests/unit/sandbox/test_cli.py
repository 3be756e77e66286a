"""``python -m airflow_provider_talkpilot.sandbox``, started and stopped as a person would."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from airflow_provider_talkpilot.sandbox import __main__ as cli

pytestmark = pytest.mark.integration

PROGRAM = [sys.executable, "-m", "airflow_provider_talkpilot.sandbox"]


def read_until_ready(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if line.startswith("Ready"):
            break
    return "".join(lines)


def exports(text: str) -> dict[str, str]:
    found = re.findall(r"^export (\w+)=(.*)$", text, re.MULTILINE)
    return {name: shlex.split(value)[0] for name, value in found}


def test_everything_starts_and_ctrl_c_stops_it(tmp_path: Path) -> None:
    env_file = tmp_path / "sandbox.env"
    command = [*PROGRAM, "--port", "0", "--start", "2026-03-16", "--days", "1"]
    command += ["--calls-per-day", "7", "--agents", "1", "--gcs-root", str(tmp_path / "gcs")]
    command += ["--env-file", str(env_file), "--requests-per-minute", "33"]
    # A home that cannot be written to: DuckDB's extensions then get a folder that goes away.
    (tmp_path / "home").touch()
    (tmp_path / "tmp").mkdir()
    environ = {**os.environ, "HOME": str(tmp_path / "home"), "TMPDIR": str(tmp_path / "tmp")}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environ
    ) as process:
        text = read_until_ready(process)
        environment = exports(text)
        assert exports(env_file.read_text()) == environment
        connection = json.loads(environment["AIRFLOW_CONN_TALKPILOT_DEFAULT"])
        assert connection["conn_type"] == "talkpilot"
        key = {"X-API-Key": connection["password"]}
        response = httpx.get(f"{connection['host']}/agents", headers=key)
        assert len(response.json()["data"]) == 1
        assert response.headers["x-ratelimit-limit"] == "33"
        assert list((tmp_path / "tmp").rglob("spatial.duckdb_extension"))
        warehouse = environment["BIGQUERY_EMULATOR_HOST"]
        assert httpx.get(f"{warehouse}/readyz").status_code == 200
        storage = environment["STORAGE_EMULATOR_HOST"]
        assert httpx.get(f"{storage}/storage/v1/b/talkpilot-staging").status_code == 200
        assert "7 calls of 1 agent, 2026-03-16 to 2026-03-16" in text
        process.send_signal(signal.SIGINT)
        rest, errors = process.communicate(timeout=20)
    assert process.returncode == 0
    assert "Stopped." in rest
    assert errors == ""
    assert not env_file.exists()
    assert list((tmp_path / "tmp").iterdir()) == []
    for url in (connection["host"] + "/health", warehouse, storage):
        with pytest.raises(httpx.ConnectError):
            httpx.get(url)


def test_sigterm_and_no_bigquery() -> None:
    command = [*PROGRAM, "--port", "0", "--no-bigquery"]
    command += ["--era", "spring", "--set", "beyond_end=404", "--set", "windows=sliding"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        text = read_until_ready(process)
        assert list(exports(text)) == ["AIRFLOW_CONN_TALKPILOT_DEFAULT"]
        assert "280 calls of 2 agents" in text
        [admin] = re.findall(r"http\S+/__sandbox__/", text)
        settings = httpx.get(f"{admin}settings").json()
        found = [settings[name] for name in ("era", "windows", "beyond_end")]
        assert found == ["spring", "sliding", 404]
        process.terminate()
        process.communicate(timeout=20)
    assert process.returncode == 0


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--calls-per-day", "-1"], "--calls-per-day: "),
        (["--set", "beyond_end=2"], "--set beyond_end: "),
        (["--set", "unheard_of=1"], "--set unheard_of: "),
    ],
)
def test_wrong_options(
    options: list[str],
    named: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    assert cli.main(["--no-bigquery", *options]) == 1
    assert capsys.readouterr().err.startswith(named)
