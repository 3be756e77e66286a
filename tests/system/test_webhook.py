"""The receiver of webhooks in Airflow's API server."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from airflow_provider_talkpilot.sandbox import Sandbox
from airflow_provider_talkpilot.sandbox.emulators.processes import GuardedProcess, responds
from tests.support.deliveries import CALL_ENDED, PATH_SECRET, SECRET, body_of, signed, stored
from tests.support.ports import held_port
from tests.system.running import START_SECONDS, Airflow

pytestmark = [pytest.mark.airflow3, pytest.mark.slow]  # Airflow 2 mounts no such application

PREFIX = "/talkpilot-webhook"


@contextmanager
def api_server(airflow: Airflow, **settings: str) -> Iterator[tuple[httpx.Client, GuardedProcess]]:
    """Airflow's API server with environment variables, and a client without a login."""
    with held_port() as port:
        url = f"http://127.0.0.1:{port}"
        command = ["-m", "airflow", "api-server", "--host", "127.0.0.1", "--port", str(port)]
        process = GuardedProcess([sys.executable, *command], airflow.environment | settings)
        try:
            process.wait_for(lambda: responds(f"{url}/api/v2/version"), START_SECONDS)
            with httpx.Client(base_url=url, timeout=60, trust_env=False) as client:
                yield client, process
        finally:
            process.stop()


def test_deliveries_to_airflow(airflow: Airflow, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text(SECRET, encoding="utf-8")
    staging = tmp_path / "staging"
    settings = {
        "TALKPILOT_WEBHOOK_SECRET_FILE": str(secret),
        "TALKPILOT_WEBHOOK_PATH_SECRET": PATH_SECRET,
        "AIRFLOW_VAR_TALKPILOT_STAGING_URI": staging.as_uri(),
    }
    with (
        Sandbox(days=1, agents=1, webhook_secret=SECRET, webhooks_forged=0.3) as sandbox,
        api_server(airflow, **settings) as (http, process),
    ):
        path = f"{PREFIX}/{PATH_SECRET}"
        sandbox.store.edit_agent(
            sandbox.store.agent_ids[0], post_call_webhook_url=f"{http.base_url}{path}"
        )
        sent = sandbox.deliver_webhooks("2026-03-16", "2026-03-17")
        assert {s for each in sent for s in each.statuses if each.trouble == "forged"} == {401}
        assert {s for each in sent for s in each.statuses if not each.trouble} == {200}
        calls = {call["call_id"] for call in sandbox.store.truth("2026-03-16", "2026-03-17")}
        ended = [e for e in stored(staging).values() if e["event"] == "call_ended"]
        assert {event["call_id"] for event in ended} == calls
        assert len(ended) == len(calls) == 40
        assert not any("FORGED" in str(event) for event in ended)

        # The receiver checks deliveries itself. No other route is open, nor one of Airflow's.
        body = body_of(CALL_ENDED)
        assert http.post(path, content=body).status_code == 401
        assert http.post(f"{PREFIX}/", content=body, headers=signed(body)).status_code == 401
        assert http.get(path).status_code == 405
        assert http.get(f"{PREFIX}/openapi.json").status_code == 405
        assert http.get("/talkpilot/").status_code == 401
        assert http.get(f"{PREFIX}/health").status_code == 200
        log = process.log()
    for hidden in (SECRET, PATH_SECRET, CALL_ENDED["call_id"], *calls):
        assert hidden not in log


def test_wrong_settings_are_named_in_the_log(airflow: Airflow) -> None:
    secret = "guessable/secret"
    with api_server(airflow, TALKPILOT_WEBHOOK_PATH_SECRET=secret) as (http, process):
        assert http.post(f"{PREFIX}/{secret}", json=CALL_ENDED).status_code == 503
        assert "TALKPILOT_WEBHOOK_PATH_SECRET must be" in process.log()
        assert secret not in process.log()
