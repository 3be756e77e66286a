"""Starting and stopping, and what the package costs those who do not use it."""

from __future__ import annotations

import json
import subprocess
import sys
import threading

import httpx
import pytest

from airflow_provider_talkpilot.sandbox import Sandbox
from airflow_provider_talkpilot.sandbox.eras import Era


@pytest.mark.parametrize(("era", "path"), [("spring", "/functions/v1/api/v1"), ("now", "/v1")])
def test_addresses(era: Era, path: str) -> None:
    with Sandbox(era=era) as sandbox:
        assert sandbox.base_url == f"http://127.0.0.1:{sandbox.port}{path}"
        connection = json.loads(sandbox.environment["AIRFLOW_CONN_TALKPILOT_DEFAULT"])
        assert connection == {
            "conn_type": "talkpilot",
            "host": sandbox.base_url,
            "password": sandbox.api_key,
        }


def test_two_at_once_and_no_thread_left() -> None:
    before = set(threading.enumerate())
    with Sandbox(seed=1) as one, Sandbox(seed=2) as two:
        assert one.base_url != two.base_url
        assert httpx.get(f"{one.base_url}/health").status_code == 200
        url = f"{two.base_url}/health"
        assert httpx.get(url).status_code == 200
        with pytest.raises(RuntimeError, match="already"):
            one.start()
    assert set(threading.enumerate()) <= before
    with pytest.raises(httpx.ConnectError):
        httpx.get(url)
    with pytest.raises(RuntimeError, match="not running"):
        _ = one.base_url
    one.stop()


def test_stopped_sandbox_starts_again() -> None:
    sandbox = Sandbox(days=1)
    for _ in range(2):
        with sandbox:
            assert httpx.get(f"{sandbox.base_url}/health").status_code == 200


def loaded_by(program: str) -> set[str]:
    """Names of the modules that a program loads."""
    program = f"import sys\n{program}\nprint(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )
    return set(done.stdout.split())


def test_importing_the_package_is_cheap() -> None:
    loaded = loaded_by("import airflow_provider_talkpilot.sandbox.pytest_plugin")
    heavy = {"uvicorn", "starlette", "pydantic", "duckdb", "google.cloud.bigquery", "airflow"}
    assert not loaded & heavy


def test_sandbox_imports_nothing_of_airflow() -> None:
    loaded = loaded_by(
        "from airflow_provider_talkpilot.sandbox import __main__, admin, bigquery, server, storage"
    )
    assert not [name for name in loaded if name.split(".")[0] == "airflow"]
    assert "airflow_provider_talkpilot.sandbox.server" in loaded
