"""docs/get-started.md, typed in as it stands: only addresses, key, project and folders differ."""

from __future__ import annotations

import subprocess
from datetime import timedelta

import pytest

from tests.support.docs import DOCS, code
from tests.system.conftest import DAY, Services
from tests.system.running import COMMAND_SECONDS, DAG, REPOSITORY, Airflow

pytestmark = pytest.mark.slow

TEXT = (DOCS / "get-started.md").read_text(encoding="utf-8")
INSTALL, *COMMANDS = code(TEXT, "sh")
LOADED = DAY + timedelta(days=2)


def test_every_step_works(airflow: Airflow, services: Services) -> None:
    assert INSTALL == "pip install .\n"
    assert f"{LOADED}" in TEXT
    written = {
        "https://api.talkpilot.io/v1": services.sandbox.base_url,
        "tp_live_0123456789abcdef0123456789abcdef": services.sandbox.api_key,
        "gs://my-bucket/talkpilot": services.staging.as_uri(),
        "my-project.talkpilot.calls": services.table,
        '"extra": {"project": "my-project"}': (
            f'"extra": {{"is_anonymous": true, "project": "{services.bigquery.project}"}}'
        ),
    }
    script = "\n".join(COMMANDS)
    for placeholder, real in written.items():
        assert placeholder in script
        script = script.replace(placeholder, real)
    airflow.run("dags", "reserialize", settings=here(airflow, services))
    ended = subprocess.run(
        ["bash", "-ec", script],
        cwd=REPOSITORY,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=airflow.environment | here(airflow, services),
        timeout=4 * COMMAND_SECONDS,
        check=False,
        text=True,
    )
    assert ended.returncode == 0, ended.stdout[-6000:]
    assert "Connection success!" in ended.stdout
    assert services.sandbox.api_key not in ended.stdout
    services.assert_table_is_truth(LOADED)
    [query] = code(TEXT, "sql")
    with services.bigquery.client() as client:
        found = list(client.query(query.replace("my-project.talkpilot.calls", services.table)))
    assert sum(row.calls for row in found) == len(services.truth(LOADED))
    assert all(row.calls == row.complete for row in found)
    listed = airflow.json("dags", "list", settings=here(airflow, services))
    paused = {row["dag_id"]: str(row["is_paused"]) for row in listed}
    # Airflow 2 says None here, whether or not.
    assert {paused[DAG], paused["talkpilot_resync_calls"]} <= {"False", "None"}


def here(airflow: Airflow, services: Services) -> dict[str, str]:
    """The emulator, and the DAGs folder that the document copies to."""
    emulator = services.bigquery.environment["BIGQUERY_EMULATOR_HOST"]
    return {
        # The document says what it means in every zone.
        "AIRFLOW__CORE__DEFAULT_TIMEZONE": "America/New_York",
        "BIGQUERY_EMULATOR_HOST": emulator,
        "AIRFLOW__CORE__DAGS_FOLDER": str(airflow.home / "dags"),
    }
