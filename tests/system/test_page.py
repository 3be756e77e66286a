"""``make ui``: an Airflow to look at; its page tells what runs did, to those who may see it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_0_PLUS

from tests.system.running import START_SECONDS, Program, avoid_midnight

pytestmark = [pytest.mark.airflow3, pytest.mark.slow]  # the page is Airflow 3's

SECONDS = 600
PREFIX = "/talkpilot"
FORGED = {"Authorization": "Bearer eyJhbGciOiJIUzUxMiJ9.eyJzdWIiOiJhZG1pbiJ9.AAAA"}


@pytest.fixture(scope="module")
def shown() -> Iterator[Program]:
    avoid_midnight()
    with (
        tempfile.TemporaryDirectory(prefix="ui-", ignore_cleanup_errors=True) as folder,
        Program(Path(folder), "scripts.ui", "--days", "8", "--user", "guest:") as running,
    ):
        yield running


@pytest.fixture(scope="module")
def http(shown: Program) -> Iterator[httpx.Client]:
    """Talks to Airflow's API server, without a login."""
    url = shown.says(r"Airflow +(http://127\.0\.0\.1:\d+)\n", START_SECONDS)
    with httpx.Client(base_url=url, timeout=60, trust_env=False) as client:
        yield client


def paths() -> list[str]:
    """Every address of the page's application, as it is: none is written down here."""
    if not AIRFLOW_V_3_0_PLUS:  # it has no such application, and none of these tests
        return []
    from airflow_provider_talkpilot.plugins.api import app

    found = [str(getattr(route, "path", "")).replace("{name}", "page.js") for route in app.routes]
    assert len(found) >= 3
    return [PREFIX + path for path in found]


def as_user(name: str, shown: Program, http: httpx.Client) -> dict[str, str]:
    """Headers of a user's requests, who logs in with the password that was printed."""
    password = shown.says(rf"login +{name}, password (\S+)\n", START_SECONDS)
    response = http.post("/auth/token", json={"username": name, "password": password})
    return {"Authorization": f"Bearer {response.raise_for_status().json()['access_token']}"}


@pytest.mark.parametrize("path", paths())
def test_the_page_is_for_those_with_a_role(shown: Program, http: httpx.Client, path: str) -> None:
    assert http.get(path).status_code == 401
    assert http.get(path, headers=FORGED).status_code != 200
    assert http.get(path, headers=as_user("guest", shown, http)).status_code == 403
    response = http.get(path, headers=as_user("admin", shown, http))
    assert response.status_code == 200
    assert response.headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert response.headers["Cache-Control"] == "private, no-cache"


@pytest.mark.parametrize("path", [f"{PREFIX}/nothing", f"{PREFIX}/static/nothing.js"])
def test_a_stranger_does_not_learn_which_addresses_exist(http: httpx.Client, path: str) -> None:
    assert http.get(path).status_code in (401, 404)
    assert http.get(path, headers=FORGED).status_code != 200


def test_the_page_tells_what_the_runs_did(shown: Program, http: httpx.Client) -> None:
    shown.says(r"(All there) after", SECONDS)
    response = http.get(
        f"{PREFIX}/overview", params={"days": 9}, headers=as_user("admin", shown, http)
    )
    found: dict[str, Any] = response.raise_for_status().json()
    [connection] = found["connections"]
    assert connection["id"] == "talkpilot_default"
    states = [day["state"] for day in connection["days"]]
    assert states == [*["complete"] * 3, "summaries", "failed", "stale", *["complete"] * 2, "open"]
    assert len(connection["agents"]) == 3
    assert connection["erased"] == 3
    assert connection["purged"] >= 2
    spent = connection["requests"]
    assert spent["lists"] + spent["details"] + spent["performance"] == spent["least"]
    assert connection["calls"] > connection["details"] > 0
    for secret in ("tp_live_", "phone_number", "customer_name", "+49"):
        assert secret not in response.text


def test_ctrl_c_leaves_nothing_behind(shown: Program) -> None:
    assert shown.stop() == 130
    assert shown.text().endswith("Stopped. Nothing is left behind.\n")
    assert list(shown.temporary.iterdir()) == []
