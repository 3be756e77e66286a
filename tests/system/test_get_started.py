"""docs/get-started.md, typed in as it stands: only addresses, key, project and folders differ."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from datetime import timedelta
from pathlib import Path

from tests.support.docs import DOCS, code
from tests.system.conftest import DAY, Services
from tests.system.running import COMMAND_SECONDS, DAG, REPOSITORY, Airflow

TEXT = (DOCS / "get-started.md").read_text(encoding="utf-8")
INSTALL, *COMMANDS = code(TEXT, "sh")
LOADED = DAY + timedelta(days=2)


def test_every_step_works(airflow: Airflow, services: Services) -> None:
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
    services.assert_table_is_truth(LOADED)
    [query] = code(TEXT, "sql")
    with services.bigquery.client() as client:
        found = list(client.query(query.replace("my-project.talkpilot.calls", services.table)))
    assert sum(row.calls for row in found) == len(services.truth(LOADED))
    assert all(row.calls == row.with_details for row in found)
    listed = airflow.json("dags", "list", settings=here(airflow, services))
    paused = {row["dag_id"]: str(row["is_paused"]) for row in listed}
    # Airflow 2 says None here, whether or not.
    assert {paused[DAG], paused["talkpilot_resync_calls"]} <= {"False", "None"}


def here(airflow: Airflow, services: Services) -> dict[str, str]:
    """The emulator, and the DAGs folder that the document copies to."""
    emulator = services.bigquery.environment["BIGQUERY_EMULATOR_HOST"]
    return {
        "BIGQUERY_EMULATOR_HOST": emulator,
        "AIRFLOW__CORE__DAGS_FOLDER": str(airflow.home / "dags"),
    }


def test_what_is_installed_is_whole(tmp_path: Path) -> None:
    """A checkout finds its files in any case; an installed package has those that were packed."""
    assert INSTALL == "pip install .\n"
    build = "import sys; from flit_core.buildapi import build_wheel; build_wheel(sys.argv[1])"
    subprocess.run([sys.executable, "-c", build, str(tmp_path)], cwd=REPOSITORY, check=True)
    [wheel] = tmp_path.glob("airflow_provider_talkpilot-*.whl")
    with zipfile.ZipFile(wheel) as packed:
        names = set(packed.namelist())
        [entry_points] = [name for name in names if name.endswith("entry_points.txt")]
        told = packed.read(entry_points).decode()
    package = REPOSITORY / "airflow_provider_talkpilot"
    needed = {
        path.relative_to(REPOSITORY).as_posix()
        for path in package.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert {path for path in needed if path.endswith((".sql", ".js", ".html", "py.typed"))}
    assert needed <= names
    assert "[apache_airflow_provider]" in told
    assert "[airflow.plugins]" in told
