"""``make ui``: an Airflow to look at; its page tells what runs did, to those who may see it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_0_PLUS

from tests.system.running import (
    REPOSITORY,
    START_SECONDS,
    avoid_midnight,
    clean_environment,
    eventually,
)

pytestmark = pytest.mark.airflow3  # the page is Airflow 3's

SECONDS = 600
STOP_SECONDS = 180  # a busy machine takes long to end so many processes
PREFIX = "/talkpilot"


class Shown:
    """What ``make ui`` runs, and what it printed."""

    def __init__(self, folder: Path) -> None:
        self.output, self.temporary = folder / "output", folder / "tmp"
        self.temporary.mkdir()
        settings = {
            "HOME": str(folder),
            "TMPDIR": str(self.temporary),
        }
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "scripts.ui", "--days", "8", "--user", "nobody:"],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=clean_environment(**settings),
                cwd=REPOSITORY,
                start_new_session=True,
            )

    def text(self) -> str:
        return self.output.read_text(encoding="utf-8")

    def says(self, pattern: str, seconds: float) -> str:
        """Wait for a line; gives what the pattern's group matched."""

        def found() -> str | None:
            assert self.process.poll() is None, self.text()
            match = re.search(pattern, self.text())
            return match[1] if match else None

        return eventually(found, seconds, pattern, self.text)


@pytest.fixture(scope="module")
def shown() -> Iterator[Shown]:
    avoid_midnight()
    with tempfile.TemporaryDirectory(prefix="ui-", ignore_cleanup_errors=True) as folder:
        running = Shown(Path(folder))
        try:
            yield running
        finally:
            if running.process.poll() is None:
                running.process.send_signal(signal.SIGINT)
                try:
                    running.process.wait(STOP_SECONDS)
                except subprocess.TimeoutExpired:
                    os.killpg(running.process.pid, signal.SIGKILL)
                    running.process.wait()


@pytest.fixture(scope="module")
def http(shown: Shown) -> Iterator[httpx.Client]:
    """Talks to Airflow's API server, as nobody yet."""
    url = shown.says(r"Airflow +(http://127\.0\.0\.1:\d+)\n", START_SECONDS)
    with httpx.Client(base_url=url, timeout=60, trust_env=False) as client:
        yield client


def paths() -> list[str]:
    """Every address of the page's application, as it is: none is written down here."""
    if not AIRFLOW_V_3_0_PLUS:  # it has no such application, and none of these tests
        return []
    from airflow_provider_talkpilot.plugins.api import app

    found = []
    for route in app.routes:
        path = str(getattr(route, "path", ""))
        found.append(PREFIX + path.replace("{name}", "page.js"))
    assert len(found) >= 3
    return found


def as_user(name: str, shown: Shown, http: httpx.Client) -> dict[str, str]:
    """Headers of a user's requests, who logs in with the password that was printed."""
    password = shown.says(rf"login +{name}, password (\S+)\n", START_SECONDS)
    answer = http.post("/auth/token", json={"username": name, "password": password})
    return {"Authorization": f"Bearer {answer.raise_for_status().json()['access_token']}"}


@pytest.mark.parametrize("path", [*paths(), f"{PREFIX}/nothing", f"{PREFIX}/static/nothing.js"])
def test_a_stranger_gets_nothing(http: httpx.Client, path: str) -> None:
    assert http.get(path).status_code in ({401} if "nothing" not in path else {401, 404})
    forged = {"Authorization": "Bearer eyJhbGciOiJIUzUxMiJ9.eyJzdWIiOiJhZG1pbiJ9.AAAA"}
    assert http.get(path, headers=forged).status_code != 200


@pytest.mark.parametrize("path", paths())
def test_who_has_no_role_is_refused(shown: Shown, http: httpx.Client, path: str) -> None:
    nobody = as_user("nobody", shown, http)
    assert http.get(path, headers=nobody).status_code == 403


@pytest.mark.parametrize("path", paths())
def test_who_may_see_it_does(shown: Shown, http: httpx.Client, path: str) -> None:
    answer = http.get(path, headers=as_user("admin", shown, http))
    assert answer.status_code == 200
    assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert answer.headers["Cache-Control"] == "private, no-cache"


def test_the_page_tells_what_the_runs_did(shown: Shown, http: httpx.Client) -> None:
    shown.says(r"(All there) after", SECONDS)
    answer = http.get(
        f"{PREFIX}/overview", params={"days": 9}, headers=as_user("admin", shown, http)
    )
    found: dict[str, Any] = answer.raise_for_status().json()
    [connection] = found["connections"]
    assert connection["id"] == "talkpilot_default"
    states = [day["state"] for day in connection["days"]]
    assert states == [
        *["complete"] * 3,
        "summaries",
        "failed",
        "stale",
        "complete",
        "complete",
        "open",
    ]
    assert len(connection["agents"]) == 3
    assert connection["erased"] == 3
    assert connection["purged"] >= 2
    spent = connection["requests"]
    assert spent["lists"] + spent["details"] == spent["least"]
    assert connection["calls"] > connection["details"] > 0
    for secret in ("tp_live_", "phone_number", "customer_name", "+49"):
        assert secret not in answer.text


def test_ctrl_c_leaves_nothing_behind(shown: Shown) -> None:
    shown.process.send_signal(signal.SIGINT)
    assert shown.process.wait(STOP_SECONDS) == 130
    assert shown.text().endswith("Stopped. Nothing is left behind.\n")
    assert list(shown.temporary.iterdir()) == []
